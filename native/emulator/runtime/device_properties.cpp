// The one function whose struct differs from toolkit to toolkit: it is compiled against the headers of the one at hand, if any.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>

#include "emulator/runtime/limits.h"

namespace limits = sightline::emulator::limits;

extern "C" __attribute__((visibility("default"))) cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  int warp = 0;
  if (const cudaError_t error = cudaDeviceGetAttribute(&warp, cudaDevAttrWarpSize, device); error != cudaSuccess) return error;
  size_t free = 0, total = 0;
  if (const cudaError_t error = cudaMemGetInfo(&free, &total); error != cudaSuccess) return error;
  std::memset(properties, 0, sizeof *properties);
  std::snprintf(properties->name, sizeof properties->name, "emulated NVIDIA A100-SXM4-80GB");
  properties->totalGlobalMem = total;
  properties->sharedMemPerBlock = limits::shared_bytes_per_block;
  properties->sharedMemPerBlockOptin = limits::shared_bytes_per_block_opt_in;
  properties->sharedMemPerMultiprocessor = limits::shared_bytes_per_multiprocessor;
  properties->reservedSharedMemPerBlock = limits::shared_bytes_reserved_per_block;
  properties->regsPerBlock = properties->regsPerMultiprocessor = static_cast<int>(limits::registers);
  properties->warpSize = warp;
  properties->maxThreadsPerBlock = static_cast<int>(limits::threads_per_block);
  properties->maxThreadsPerMultiProcessor = static_cast<int>(limits::threads_per_multiprocessor);
  properties->maxBlocksPerMultiProcessor = static_cast<int>(limits::blocks_per_multiprocessor);
  const int block[3] = {limits::block_x, limits::block_y, limits::block_z};
  const int grid[3] = {limits::grid_x, limits::grid_y, limits::grid_z};
  std::memcpy(properties->maxThreadsDim, block, sizeof block);
  std::memcpy(properties->maxGridSize, grid, sizeof grid);
  properties->totalConstMem = limits::constant_bytes;
  properties->major = static_cast<int>(limits::compute_major);
  properties->minor = static_cast<int>(limits::compute_minor);
  properties->multiProcessorCount = static_cast<int>(limits::multiprocessors);
  properties->l2CacheSize = static_cast<int>(limits::l2_bytes);
  properties->memoryBusWidth = static_cast<int>(limits::memory_bus_bits);
  properties->unifiedAddressing = 1;
  return cudaSuccess;
}
