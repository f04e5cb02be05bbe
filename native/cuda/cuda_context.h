#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/arena.h"
#include "core/execution_context.h"
#include "cuda/cuda_error.h"
#include "ops/matmul.h"

namespace sightline::cuda {

class Products;

/**
 * What a CUDA op runs with: one stream, on which everything happens in the order of the calls, and scratch memory. Ops only
 * enqueue; nothing here waits for the device.
 */
class CudaContext : public ExecutionContext {
 public:
  /**
   * @param device  index of the GPU
   * @param arena   of scratch memory; must outlive the context
   */
  CudaContext(int device, Arena& arena);
  ~CudaContext();

  cudaStream_t stream() const { return stream_; }
  int device() const { return device_; }
  int multiprocessors() const { return multiprocessors_; }

  /** Makes the GPU the calling thread's, which CUDA asks of every thread anew. */
  void enter() const { check(cudaSetDevice(device_), "choosing the GPU"); }

  /**
   * Runs `kernel` on the stream. A grid without blocks is no launch.
   * @param dynamic_shared_bytes  beyond 48 KB the kernel's limit is raised first
   * @param arguments  converted to the kernel's parameters
   * @throws Error when the launch is refused
   */
  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t dynamic_shared_bytes, Arguments&&... arguments) {
    static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument per parameter of the kernel");
    std::tuple<std::remove_cv_t<Parameters>...> values{std::forward<Arguments>(arguments)...};
    auto pointers = std::apply([](auto&... value) { return std::array<void*, sizeof...(Parameters) + 1>{&value...}; }, values);
    launch_kernel(reinterpret_cast<const void*>(kernel), grid, block, dynamic_shared_bytes, pointers.data());
  }

  /**
   * Device memory for the op that is running: at least `bytes`, aligned to 64 bytes, contents undefined. Every call gives
   * another block; all go back when the op returns, and since the next op's work comes later on the stream, it may have them.
   */
  void* scratch(size_t bytes);
  template <class T>
  T* scratch_array(int64_t count) {
    return static_cast<T*>(scratch(static_cast<size_t>(count) * sizeof(T)));
  }
  /** Scratch that holds what the host made. The values may change as soon as the call returns. */
  template <class T>
  const T* upload(const std::vector<T>& values) {
    T* copy = scratch_array<T>(static_cast<int64_t>(values.size()));
    upload(copy, values.data(), values.size() * sizeof(T));
    return copy;
  }

  /**
   * The product of `matmul`, by cuBLASLt. `packed_b` is B (K, N), row-major without padding, of the type that `precision`
   * multiplies: float or bf16.
   */
  void multiply(const MatmulArgs& args);

  /**
   * Copies to device memory. What `host` points to may change as soon as the call returns.
   * @throws Error unsupported while the stream is being recorded: a repetition would read `host` again
   */
  void upload(void* to, const void* host, size_t bytes);
  /** Until everything enqueued is done. @throws Error when something of it failed */
  void wait() { check(cudaStreamSynchronize(stream_), "computing on the GPU"); }
  /** Whether calls become nodes of a graph instead of work. Set by who records the stream. */
  void set_recording(bool recording) { recording_ = recording; }
  /** Lets go of the op's scratch memory: between ops. */
  void release_scratch() { scratch_.clear(); }

 private:
  void launch_kernel(const void* kernel, dim3 grid, dim3 block, size_t dynamic_shared_bytes, void** arguments);
  /** Made when the first product comes. */
  Products& products();

  const int device_;
  Arena& arena_;
  int multiprocessors_ = 0;
  cudaStream_t stream_ = nullptr;
  bool recording_ = false;
  std::unique_ptr<Products> products_;
  std::vector<std::shared_ptr<Storage>> scratch_;
  /** Dynamic shared memory that kernels have been granted, where more than every kernel has. */
  std::unordered_map<const void*, size_t> granted_shared_bytes_;
};

}  // namespace sightline::cuda
