// Kernels for the tests of the runtime stand-in.
#include <cuda_runtime.h>

#include <cstdio>

__constant__ float factors[4];

// y[i] = a * x[i] + y[i]
extern "C" __global__ void axpy(float a, const float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = a * x[i] + y[i];
}

// y[i] = value
extern "C" __global__ void fill(float value, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = value;
}

// Reverses each block's elements through dynamic shared memory.
extern "C" __global__ void reverse_blocks(const float* x, float* y) {
  extern __shared__ float shared[];
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  shared[threadIdx.x] = x[i];
  __syncthreads();
  y[i] = shared[blockDim.x - 1 - threadIdx.x];
}

// As above, without the barrier.
extern "C" __global__ void reverse_blocks_unordered(const float* x, float* y) {
  extern __shared__ float shared[];
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  shared[threadIdx.x] = x[i];
  y[i] = shared[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(128) bounded(float* y) { y[threadIdx.x] = 1.0f; }

struct Pair {
  float scale;
  const float* x;
};

// A structure among the arguments, and a constant.
extern "C" __global__ void scale_by_constant(Pair pair, float* y, int factor) {
  y[threadIdx.x] = pair.scale * factors[factor] * pair.x[threadIdx.x];
}

// What host code does with <<< >>>, occupancy, properties and symbols.
extern "C" int launch_with_chevrons(float* y, int n, cudaStream_t stream) {
  fill<<<(n + 127) / 128, 128, 0, stream>>>(3.0f, y, n);
  return cudaGetLastError();
}

// Writes the device's name, at most `bytes` with its ending zero, and returns its compute capability, e.g. 80.
extern "C" int device_name(char* name, int bytes) {
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) return 0;
  std::snprintf(name, static_cast<size_t>(bytes), "%s", properties.name);
  return 10 * properties.major + properties.minor;
}

extern "C" int set_factors(const float* values) { return cudaMemcpyToSymbol(factors, values, sizeof factors); }

extern "C" int blocks_per_multiprocessor(int threads, int dynamic_shared_bytes) {
  int blocks = -1;
  const cudaError_t error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, reverse_blocks, threads,
                                                                          static_cast<size_t>(dynamic_shared_bytes));
  return error == cudaSuccess ? blocks : -static_cast<int>(error);
}
