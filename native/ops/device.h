#pragma once

#include <cstring>

#include "core/arena.h"
#include "core/execution_context.h"
#include "core/isa.h"
#include "core/precision.h"
#include "core/tensor.h"
#include "core/thread_pool.h"
#include "ops/op_table.h"

namespace sightline {

/** Sets every element to zero. */
inline void fill_zero(const Tensor& tensor) {
  std::memset(tensor.data(), 0, static_cast<size_t>(tensor.size()) * sizeof(float));
}

/** Where a model lives and computes: memory, threads and the ops of one backend. */
class Device {
 public:
  Device(Isa isa, int threads, size_t memory_limit_bytes, Precision precision = Precision::fp32)
      : isa_(isa), precision_(precision), arena_(memory_limit_bytes), pool_(threads), context_(pool_, arena_) {}

  Isa isa() const { return isa_; }
  /** Of the matrix products of the model that lives here. */
  Precision precision() const { return precision_; }
  Arena& arena() { return arena_; }
  ThreadPool& pool() { return pool_; }
  ExecutionContext& context() { return context_; }
  const OpTable& ops() const { return cpu_ops(isa_); }

  /** Contents are undefined. */
  Tensor allocate(Purpose purpose, int64_t rows, int64_t columns) { return Tensor(arena_, purpose, rows, columns); }
  Tensor allocate_zeros(Purpose purpose, int64_t rows, int64_t columns) {
    Tensor tensor = allocate(purpose, rows, columns);
    fill_zero(tensor);
    return tensor;
  }

 private:
  Isa isa_;
  Precision precision_;
  Arena arena_;
  ThreadPool pool_;
  ExecutionContext context_;
};

}  // namespace sightline
