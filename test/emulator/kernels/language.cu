// What nvcc makes of everyday device code: divisions, conversions, float64, module tables, structures by value, shuffles of pairs,
// atomics, 64-bit products, switches. One result per thread and kind; the test computes the same.
#include <cstdint>

struct Settings {
  double scale;
  uint32_t divisor;
  int8_t signs[4];
};

__constant__ float table[8] = {0.5f, -1.25f, 2.0f, 3.5f, -4.0f, 5.75f, 6.0f, 7.125f};
__device__ uint32_t arrivals;

extern "C" __global__ void __launch_bounds__(256) language(double* reals, uint32_t* words, const float* x, Settings settings) {
  __shared__ double partial[8];
  const uint32_t thread = blockIdx.x * blockDim.x + threadIdx.x;
  const float value = x[thread];

  // A sum in float64 over the block, in a fixed order.
  double sum = double(value) * settings.scale;
  for (int distance = 16; distance > 0; distance >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, distance);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  double total = 0;
  for (uint32_t warp = 0; warp < blockDim.x / 32; ++warp) total += partial[warp];
  reals[2 * thread] = sqrt(total * total + 1.0) / (1.0 + thread);

  // Functions of float32.
  const float bounded = fminf(fmaxf(value, -3.0f), 3.0f);
  reals[2 * thread + 1] = expf(bounded) + log1pf(fabsf(bounded)) * table[thread % 8] + tanhf(bounded) - sqrtf(fabsf(value)) + truncf(value) +
                          roundf(bounded) + fmodf(float(thread), 7.0f);

  // Integers.
  uint32_t word = thread / settings.divisor * 1000003u + thread % settings.divisor;
  word ^= __umulhi(word, 0xD2511F53u) + __popc(thread) + __clz(int(thread)) + __brev(thread);
  word += uint32_t((uint64_t(thread) * 0x9E3779B97F4A7C15ull) >> 29) + uint32_t(int64_t(thread) * -77 / 13);
  switch (thread % 4) {
    case 0: word = word << 3 | word >> 29; break;
    case 1: word += settings.signs[1]; break;
    case 2: word = __byte_perm(word, thread, 0x5041); break;
    default: word = uint32_t(max(int(word), -5)); break;
  }
  if (__any_sync(0xffffffffu, thread % 96 == 5)) word += 17;
  words[thread] = word + uint32_t(thread % 2 ? settings.signs[2] : settings.signs[3]);
  atomicAdd(&arrivals, 1u);
}
