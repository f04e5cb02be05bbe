#pragma once

#include <memory>
#include <vector>

#include "core/arena.h"
#include "core/execution_context.h"
#include "core/rope_table.h"
#include "core/thread_pool.h"

namespace sightline {

/**
 * What a CPU op runs with: threads and scratch memory that is reused from call to call.
 *
 * Op sources are compiled once per instruction-set path; what they call here is defined out of line, for an
 * inline function could be emitted by the strongest path and linked into all.
 */
class CpuContext : public ExecutionContext {
 public:
  CpuContext(ThreadPool& pool, Arena& arena);

  ThreadPool& pool() { return pool_; }

  /** At least `count` floats for `thread` alone; contents are undefined. */
  float* thread_scratch(int thread, int64_t count);
  /** At least `count` floats that all threads of one op share; contents are undefined. */
  float* shared_scratch(int64_t count);
  /** As shared_scratch, for ops that call `matmul`, which itself uses the thread and shared scratch. */
  float* op_scratch(int64_t count);

  /** Angles for `rope`. */
  RopeTable& rope_table() { return rope_table_; }

 private:
  float* grow(std::shared_ptr<Storage>& slot, int64_t count);

  ThreadPool& pool_;
  Arena& arena_;
  std::vector<std::shared_ptr<Storage>> thread_scratch_;
  std::shared_ptr<Storage> shared_scratch_;
  std::shared_ptr<Storage> op_scratch_;
  RopeTable rope_table_;
};

}  // namespace sightline
