#include "cuda/cuda_device.h"

#include "cuda/graph_recorder.h"

namespace sightline::cuda {

void* CudaMemory::allocate(size_t bytes) {
  check(cudaSetDevice(gpu_), "choosing the GPU");
  void* data = nullptr;
  if (const cudaError_t status = cudaMalloc(&data, bytes); status != cudaSuccess) {
    cudaGetLastError();  // running out of memory is no lasting failure
    if (status != cudaErrorMemoryAllocation) check(status, "allocating memory");
    return nullptr;
  }
  return data;
}

void CudaMemory::release(void* data, size_t) {
  // The arena gives back what no one owns any more, but kernels that were enqueued before may still be using it. It does so
  // also while an engine ends after a failure, when there is no one left to tell.
  cudaSetDevice(gpu_);
  cudaDeviceSynchronize();
  cudaFree(data);
}

CudaDevice::CudaDevice(int gpu, Precision precision, size_t memory_limit_bytes)
    : CudaMemory(gpu),
      Device(precision, memory_limit_bytes, static_cast<CudaMemory&>(*this), cuda_ops()),
      context_(gpu, arena()) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, gpu), "asking for the GPU's properties");
  name_ = properties.name;
}

void CudaDevice::zero(void* to, size_t bytes) {
  if (bytes == 0) return;
  context_.enter();
  check(cudaMemsetAsync(to, 0, bytes, context_.stream()), "clearing memory");
}

void CudaDevice::copy(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  context_.enter();
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, context_.stream()), "copying");
}

void CudaDevice::upload(void* to, const void* host, size_t bytes) {
  context_.enter();
  context_.upload(to, host, bytes);
}

void CudaDevice::download(void* host, const void* from, size_t bytes) {
  context_.enter();
  if (bytes > 0)
    check(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, context_.stream()), "copying from the GPU");
  context_.wait();
}

std::unique_ptr<StepRecorder> CudaDevice::make_step_recorder() { return std::make_unique<GraphRecorder>(context_, arena()); }

}  // namespace sightline::cuda
