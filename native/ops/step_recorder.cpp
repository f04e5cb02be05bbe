#include "ops/step_recorder.h"

#include <bit>

namespace sightline {

int64_t PooledStepRecorder::padded(int64_t size) const {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(size)));
}

void PooledStepRecorder::run(const StepSize&, const std::function<void()>& step) {
  const ArenaPool::Scope scope(pool());
  step();
}

}  // namespace sightline
