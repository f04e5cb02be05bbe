#include "ops/step_recorder.h"

#include <algorithm>
#include <bit>

namespace sightline {

int64_t PooledStepRecorder::padded(int64_t size) const {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(size)));
}

void PooledStepRecorder::make_room(const StepSize& size) {
  if (size.rows <= largest_.rows && size.pages <= largest_.pages) return;
  largest_ = {std::max(size.rows, largest_.rows), std::max(size.pages, largest_.pages)};
  forget();
  pool_.reset();
  pool_ = std::make_shared<ArenaPool>(arena_);
}

void PooledStepRecorder::run(const StepSize& size, const std::function<void()>& step) {
  make_room(size);
  const ArenaPool::Scope scope(pool());
  step();
}

}  // namespace sightline
