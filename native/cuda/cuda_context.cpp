#include "cuda/cuda_context.h"

#include "cuda/products.h"

namespace sightline::cuda {

CudaContext::CudaContext(int device, Arena& arena) : device_(device), arena_(arena) {
  enter();
  check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device), "counting multiprocessors");
  // Not blocked by, nor blocking, what other users of the GPU in this process do on its default stream.
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
}

CudaContext::~CudaContext() {
  // What is still under way uses the memory that goes back now. An error has been reported by whoever waited for a result.
  cudaSetDevice(device_);
  cudaStreamSynchronize(stream_);
  products_.reset();
  cudaStreamDestroy(stream_);
}

void* CudaContext::scratch(size_t bytes) {
  scratch_.push_back(arena_.allocate(bytes, Purpose::workspace));
  return scratch_.back()->data();
}

void CudaContext::upload(void* to, const void* host, size_t bytes) {
  if (recording_) fail(ErrorCode::unsupported, "an op reads host memory, which a recorded step cannot");
  if (bytes > 0) check(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream_), "copying to the GPU");
}

Products& CudaContext::products() {
  if (!products_) products_ = std::make_unique<Products>(arena_);
  return *products_;
}

void CudaContext::launch_kernel(const void* kernel, dim3 grid, dim3 block, size_t dynamic_shared_bytes, void** arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr size_t always_granted = size_t{48} << 10;
  if (dynamic_shared_bytes > always_granted) {
    size_t& granted = granted_shared_bytes_[kernel];
    if (granted < dynamic_shared_bytes) {
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(dynamic_shared_bytes)),
            "raising a kernel's shared memory");
      granted = dynamic_shared_bytes;
    }
  }
  check(cudaLaunchKernel(kernel, grid, block, arguments, dynamic_shared_bytes, stream_), "launching a kernel");
}

}  // namespace sightline::cuda
