#include "ops/step_recorder.h"

#include <algorithm>
#include <bit>

namespace sightline {

int64_t PooledStepRecorder::padded(int64_t size) const {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(size)));
}

StepSize PooledStepRecorder::next(const StepSize& needed) {
  const StepSize size{padded(needed.rows), padded(needed.pages)};
  if (size.rows <= largest_.rows && size.pages <= largest_.pages) return size;
  largest_ = {std::max(size.rows, largest_.rows), std::max(size.pages, largest_.pages)};
  forget();
  pool_->clear();
  return largest_;
}

void PooledStepRecorder::run(const StepSize&, const std::function<void()>& step) {
  const ArenaPool::Scope scope(pool());
  step();
}

}  // namespace sightline
