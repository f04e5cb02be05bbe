#include "cuda/ceilings.h"

namespace sightline::cuda {
namespace {

constexpr int threads = 256;
/** Blocks per multiprocessor of the kernels that stay: 2048 threads, all that it has room for. */
constexpr int resident_blocks = 8;
constexpr int vectors_per_thread = 4;
/** More than the latency of a multiply-add (4 cycles) times what a scheduler issues, with 16 warps each. */
constexpr int chains = 8;

static_assert(ceiling_tile_bytes == threads * vectors_per_thread * sizeof(float4));

dim3 resident_grid(const CudaContext& context) { return dim3(static_cast<unsigned>(context.multiprocessors() * resident_blocks)); }

}  // namespace

/** One tile per block; every thread has four loads of 16 bytes in flight. Registers on sm_80: at most 32. */
__global__ void __launch_bounds__(threads) ceiling_copy_kernel(const float4* from, float4* to) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (threads * vectors_per_thread) + threadIdx.x;
  float4 x[vectors_per_thread];
#pragma unroll
  for (int j = 0; j < vectors_per_thread; ++j) x[j] = from[first + j * threads];
#pragma unroll
  for (int j = 0; j < vectors_per_thread; ++j) to[first + j * threads] = x[j];
}

/** Tile after tile, so that almost nothing is written. Registers on sm_80: at most 40. */
__global__ void __launch_bounds__(threads) ceiling_read_kernel(const float4* from, int64_t tiles, float* sums) {
  float sum[vectors_per_thread] = {};
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t first = tile * (threads * vectors_per_thread) + threadIdx.x;
    float4 x[vectors_per_thread];
#pragma unroll
    for (int j = 0; j < vectors_per_thread; ++j) x[j] = from[first + j * threads];
#pragma unroll
    for (int j = 0; j < vectors_per_thread; ++j) sum[j] += (x[j].x + x[j].y) + (x[j].z + x[j].w);
  }
  sums[blockIdx.x * threads + threadIdx.x] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/** chain = chain / 2 + 1, which goes to 2. Registers on sm_80: at most 32. */
__global__ void __launch_bounds__(threads) ceiling_fp32_kernel(int rounds, float* sums) {
  float chain[chains];
#pragma unroll
  for (int i = 0; i < chains; ++i) chain[i] = static_cast<float>(threadIdx.x + i);
#pragma unroll 4
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < chains; ++i) chain[i] = fmaf(chain[i], 0.5f, 1.0f);
  }
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < chains; ++i) sum += chain[i];
  sums[blockIdx.x * threads + threadIdx.x] = sum;
}

int64_t ceiling_sums(const CudaContext& context) { return int64_t{context.multiprocessors()} * resident_blocks * threads; }

int64_t ceiling_fp32_multiply_adds(const CudaContext& context) { return ceiling_sums(context) * chains; }

void ceiling_copy(CudaContext& context, const void* from, void* to, size_t bytes) {
  context.launch(ceiling_copy_kernel, dim3(static_cast<unsigned>(bytes / ceiling_tile_bytes)), dim3(threads), 0,
                 static_cast<const float4*>(from), static_cast<float4*>(to));
}

void ceiling_read(CudaContext& context, const void* from, size_t bytes, float* sums) {
  context.launch(ceiling_read_kernel, resident_grid(context), dim3(threads), 0, static_cast<const float4*>(from),
                 static_cast<int64_t>(bytes / ceiling_tile_bytes), sums);
}

void ceiling_fp32(CudaContext& context, int rounds, float* sums) {
  context.launch(ceiling_fp32_kernel, resident_grid(context), dim3(threads), 0, rounds, sums);
}

}  // namespace sightline::cuda
