#pragma once

#include <cstring>
#include <memory>

#include "core/arena.h"
#include "core/execution_context.h"
#include "core/isa.h"
#include "core/precision.h"
#include "core/tensor.h"
#include "core/thread_pool.h"
#include "ops/op_table.h"
#include "ops/profiler.h"

namespace sightline {

/** Sets every element to zero. */
inline void fill_zero(const Tensor& tensor) {
  std::memset(tensor.data(), 0, static_cast<size_t>(tensor.size()) * sizeof(float));
}

/** Where a model lives and computes: memory, threads and the ops of one backend. */
class Device {
 public:
  Device(Isa isa, int threads, size_t memory_limit_bytes, Precision precision = Precision::fp32)
      : isa_(isa),
        precision_(precision),
        arena_(memory_limit_bytes),
        pool_(threads),
        context_(pool_, arena_),
        ops_(&cpu_ops(isa)) {}

  Isa isa() const { return isa_; }
  /** Of the matrix products of the model that lives here. */
  Precision precision() const { return precision_; }
  Arena& arena() { return arena_; }
  ThreadPool& pool() { return pool_; }
  ExecutionContext& context() { return context_; }
  const OpTable& ops() const { return *ops_; }

  /** Whether ops and scopes are being recorded. */
  bool profiling() const { return profiler_ != nullptr; }
  /** Records from now on. Must not be profiling, nor inside a ProfileScope. */
  void start_profile() {
    profiler_ = std::make_unique<Profiler>(cpu_ops(isa_));
    context_.set_profiler(profiler_.get());
    ops_ = &profiling_ops();
  }
  /** Ends the recording, which must have been started. */
  Profile stop_profile() {
    ops_ = &cpu_ops(isa_);
    context_.set_profiler(nullptr);
    Profile profile = profiler_->finish();
    profiler_.reset();
    return profile;
  }

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
  const OpTable* ops_;
  std::unique_ptr<Profiler> profiler_;
};

/** Names what the device does during the object's lifetime, for its profile if one is being taken. Scopes may nest. */
class ProfileScope {
 public:
  /** @param name  a literal */
  ProfileScope(Device& device, const char* name) : profiler_(device.context().profiler()) {
    if (profiler_) profiler_->open(name);
  }
  ~ProfileScope() {
    if (profiler_) profiler_->close();
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  Profiler* profiler_;
};

}  // namespace sightline
