#include "ops/adamw.h"

#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"

// adamw: one thread per 4 elements (`elementwise_kernel`): 16 bytes read and 12 written per element, nothing else counts.
// sum_squares: blocks of 256 threads add 64 elements per thread, 4 neighbours at a time, then a tree over the block; one block
// adds the partial sums, every 256th in one thread, then a tree. All in double; the order is a function of the count alone.
// Registers on sm_80: at most 40. Shared memory: 256 bytes of partial sums.

namespace sightline::cuda {
namespace {

constexpr int sum_threads = 256;
constexpr int64_t sum_block_elements = 64 * sum_threads;

struct AdamwStep {
  AdamwArgs a;

  template <int width>
  __device__ void at(int64_t i) const {
    float p[width], g[width], m[width], v[width];
    load(a.parameter + i, p);
    load(a.gradient + i, g);
    load(a.first_moment + i, m);
    load(a.second_moment + i, v);
    const float correction1 = 1.0f / a.bias_correction1, correction2 = 1.0f / a.bias_correction2;
#pragma unroll
    for (int j = 0; j < width; ++j) {
      const float scaled = a.gradient_scale * g[j];
      m[j] = a.beta1 * m[j] + (1.0f - a.beta1) * scaled;
      v[j] = a.beta2 * v[j] + (1.0f - a.beta2) * (scaled * scaled);
      const float direction = m[j] * correction1 / (sqrtf(v[j] * correction2) + a.epsilon);
      p[j] -= a.learning_rate * (direction + a.weight_decay * p[j]);
    }
    store(a.first_moment + i, m);
    store(a.second_moment + i, v);
    store(a.parameter + i, p);
  }
};

}  // namespace

/** Elements go to threads in fours whether or not they can be read as such, so that the sum does not depend on it. */
template <int width>
__global__ void __launch_bounds__(sum_threads) sum_squares_partials_kernel(const float* x, double* partials, int64_t count) {
  const int64_t first = blockIdx.x * sum_block_elements;
  const int64_t last = first + sum_block_elements < count ? first + sum_block_elements : count;
  double sum = 0.0;
#pragma unroll 4
  for (int64_t i = first + threadIdx.x * 4; i < last; i += sum_threads * 4) {
    float values[4] = {};
    if (width == 4 && i + 4 <= last) {
      load(x + i, values);
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (i + j < last) values[j] = x[i + j];
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) sum = fma(static_cast<double>(values[j]), static_cast<double>(values[j]), sum);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(sum_threads) sum_squares_total_kernel(const double* partials, int64_t blocks, double* total) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < blocks; i += sum_threads) sum += partials[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

void sum_squares(CudaContext& context, const SumSquaresArgs& a) {
  const int64_t blocks = (a.count + sum_block_elements - 1) / sum_block_elements;
  auto* partials = context.scratch_array<double>(blocks);
  with_width(
      [&](auto width) {
        context.launch(sum_squares_partials_kernel<width()>, dim3(static_cast<unsigned>(blocks)), dim3(sum_threads), 0, a.x, partials,
                       a.count);
      },
      0, a.x);
  context.launch(sum_squares_total_kernel, dim3(1), dim3(sum_threads), 0, partials, blocks, a.total);
}

void adamw(CudaContext& context, const AdamwArgs& a) {
  launch_elementwise(context, AdamwStep{a}, a.count, a.parameter, a.gradient, a.first_moment, a.second_moment);
}

}  // namespace sightline::cuda
