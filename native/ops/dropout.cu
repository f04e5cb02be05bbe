#include "ops/dropout.h"

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "cuda/philox.cuh"

// One thread per block of four random words, which serve four columns 16 apart: 16 neighbouring lanes read and write runs of 16
// elements, whole sectors in fp32 and in bf16. The ten rounds take some 60 instructions per thread, about as long as its memory
// traffic does on an A100, so wider accesses would gain nothing. Registers on sm_80: at most 24.

namespace sightline::cuda {
namespace {

constexpr int dropout_threads = 256;

template <class T, bool accumulate>
__global__ void __launch_bounds__(dropout_threads)
    dropout_row_kernel(const T* x, T* y, const uint32_t* __restrict__ keys, const int32_t* __restrict__ positions, uint32_t columns,
                       unsigned blocks_per_row, uint32_t module, uint32_t threshold, float scale) {
  constexpr uint32_t run = DropoutArgs::run, stride = DropoutArgs::stride;
  const int64_t row = blockIdx.x / blocks_per_row;
  const uint32_t counter = blockIdx.x % blocks_per_row * blockDim.x + threadIdx.x;
  const uint32_t first = counter / stride * run + counter % stride;
  if (first >= columns) return;
  const uint4 words = philox(make_uint4(counter, module, static_cast<uint32_t>(positions[row]), DropoutArgs::purpose),
                             make_uint2(keys[2 * row], keys[2 * row + 1]));
  const uint32_t word[4] = {words.x, words.y, words.z, words.w};
  // All loads before the first store, which may be to x for all that the compiler knows: they wait together.
  float value[4][1], sum[4][1];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (first + i * stride >= columns) break;
    load(x + row * columns + first + i * stride, value[i]);
    if constexpr (accumulate) load(y + row * columns + first + i * stride, sum[i]);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (first + i * stride >= columns) break;
    // Rounded after the product and after the sum, as on the CPU.
    value[i][0] = word[i] >= threshold ? __fmul_rn(value[i][0], scale) : 0.0f;
    if constexpr (accumulate) value[i][0] = __fadd_rn(sum[i][0], value[i][0]);
    store(y + row * columns + first + i * stride, value[i]);
  }
}

}  // namespace

void dropout(CudaContext& context, const DropoutArgs& a) {
  require_one_type("dropout", "x and y", {a.x.type, a.y.type});
  const int64_t counters = (a.columns + DropoutArgs::run - 1) / DropoutArgs::run * DropoutArgs::stride;
  const unsigned threads = row_threads(counters, dropout_threads);
  const auto blocks_per_row = static_cast<unsigned>((counters + threads - 1) / threads);
  with_type(a.x.type, [&]<class T>(Type<T>) {
    const auto kernel = a.accumulate ? dropout_row_kernel<T, true> : dropout_row_kernel<T, false>;
    context.launch(kernel, dim3(static_cast<unsigned>(a.rows) * blocks_per_row), dim3(threads), 0, a.x.as<T>(), a.y.as<T>(),
                   a.keys.device, a.positions.device, static_cast<uint32_t>(a.columns), blocks_per_row,
                   static_cast<uint32_t>(a.module), a.threshold(), a.scale());
  });
}

}  // namespace sightline::cuda
