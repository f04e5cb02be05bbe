#pragma once

#include "core/cpu_context.h"
#include "core/isa.h"
#include "core/thread_pool.h"
#include "ops/device.h"

namespace sightline {

/** The CPU with one of its instruction-set paths. */
class CpuDevice : public Device {
 public:
  CpuDevice(Isa isa, int threads, size_t memory_limit_bytes, Precision precision = Precision::fp32)
      : Device(precision, memory_limit_bytes, host_memory(), cpu_ops(isa)), isa_(isa), pool_(threads), context_(pool_, arena()) {}

  std::string name() const override { return isa_name(isa_); }
  CpuContext& context() override { return context_; }
  void zero(void* to, size_t bytes) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void upload(void* to, const void* host, size_t bytes) override { copy(to, host, bytes); }
  void download(void* host, const void* from, size_t bytes) override { copy(host, from, bytes); }
  bool in_host_memory() const override { return true; }
  bool reads_weights_in_place() const override { return false; }
  int64_t packed_bytes(int64_t k, int64_t n) const override {
    return matmul_packed_size(isa_, precision(), k, n) * static_cast<int64_t>(sizeof(float));
  }

 private:
  Isa isa_;
  ThreadPool pool_;
  CpuContext context_;
};

}  // namespace sightline
