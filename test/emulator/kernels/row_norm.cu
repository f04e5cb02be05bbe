// y = x / rms(x) * weight per row of bfloat16, one block of 128 threads per row; n is a multiple of 8.
// MISSING_BARRIER and STORE_PAST_ROW plant bugs.
#include <cstdint>

namespace {

__device__ float low(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ float high(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

__device__ uint32_t pack(float first, float second) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}

__device__ float sum_of_warp(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(128) row_norm(uint16_t* y, const uint16_t* x, const uint16_t* weight, int n, float epsilon) {
  __shared__ float partial[4];
  const uint4* row = reinterpret_cast<const uint4*>(x + size_t(blockIdx.x) * n);
  float sum = 0;
  for (int i = threadIdx.x; i < n / 8; i += 128) {
    const uint4 v = row[i];
    const uint32_t pairs[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int k = 0; k < 4; ++k) sum += low(pairs[k]) * low(pairs[k]) + high(pairs[k]) * high(pairs[k]);
  }
  sum = sum_of_warp(sum);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
#ifndef MISSING_BARRIER
  __syncthreads();
#endif
  const float scale = rsqrtf((partial[0] + partial[1] + partial[2] + partial[3]) / float(n) + epsilon);
  for (int i = threadIdx.x; i < n / 8; i += 128) {
    const uint4 v = row[i], w = reinterpret_cast<const uint4*>(weight)[i];
    const uint4 out = {pack(low(v.x) * scale * low(w.x), high(v.x) * scale * high(w.x)),
                       pack(low(v.y) * scale * low(w.y), high(v.y) * scale * high(w.y)),
                       pack(low(v.z) * scale * low(w.z), high(v.z) * scale * high(w.z)),
                       pack(low(v.w) * scale * low(w.w), high(v.w) * scale * high(w.w))};
#ifdef STORE_PAST_ROW
    reinterpret_cast<uint4*>(y + size_t(blockIdx.x) * n)[i + 1] = out;
#else
    reinterpret_cast<uint4*>(y + size_t(blockIdx.x) * n)[i] = out;
#endif
  }
}
