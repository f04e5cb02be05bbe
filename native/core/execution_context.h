#pragma once

#include <memory>
#include <vector>

#include "core/arena.h"
#include "core/thread_pool.h"

namespace sightline {

/** What an op runs with: threads and scratch memory that is reused from call to call. */
class ExecutionContext {
 public:
  ExecutionContext(ThreadPool& pool, Arena& arena)
      : pool_(pool), arena_(arena), scratch_(static_cast<size_t>(pool.size()) + 1) {}

  ThreadPool& pool() { return pool_; }

  /** At least `count` floats for `thread` alone; contents are undefined. */
  float* thread_scratch(int thread, int64_t count) { return grow(scratch_[static_cast<size_t>(thread)], count); }
  /** At least `count` floats that all threads of one op share; contents are undefined. */
  float* shared_scratch(int64_t count) { return grow(scratch_.back(), count); }

 private:
  float* grow(std::shared_ptr<Storage>& slot, int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(float);
    if (!slot || slot->bytes() < bytes) {
      slot.reset();
      slot = arena_.allocate(bytes, Purpose::workspace);
    }
    return static_cast<float*>(slot->data());
  }

  ThreadPool& pool_;
  Arena& arena_;
  std::vector<std::shared_ptr<Storage>> scratch_;
};

}  // namespace sightline
