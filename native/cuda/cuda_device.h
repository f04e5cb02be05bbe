#pragma once

#include <string>

#include "cuda/cuda_context.h"
#include "cuda/cuda_ops.h"
#include "ops/device.h"

namespace sightline::cuda {

/** Memory of one GPU, for its arena. */
class CudaMemory : public MemorySource {
 public:
  explicit CudaMemory(int gpu) : gpu_(gpu) {}
  void* allocate(size_t bytes) override;
  void release(void* data, size_t bytes) override;

 private:
  int gpu_;
};

/**
 * One GPU. Everything happens on one stream in the order of the calls; only `download` waits. What goes wrong in a kernel
 * is therefore told by the call that waits next.
 */
class CudaDevice final : private CudaMemory, public Device {
 public:
  /** @throws Error out_of_memory; unsupported where there is no cuBLASLt, once the first product needs it */
  CudaDevice(int gpu, Precision precision, size_t memory_limit_bytes);

  std::string name() const override { return name_; }
  CudaContext& context() override { return context_; }
  void zero(void* to, size_t bytes) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void upload(void* to, const void* host, size_t bytes) override;
  void download(void* host, const void* from, size_t bytes) override;
  bool in_host_memory() const override { return false; }
  bool reads_weights_in_place() const override { return true; }
  std::unique_ptr<StepRecorder> make_step_recorder() override;
  int64_t packed_bytes(int64_t k, int64_t n) const override { return k * n * size_of(operand_type()); }

 private:
  std::string name_;
  CudaContext context_;
};

}  // namespace sightline::cuda
