#pragma once

// Softmax over one row of logits by one block: what `linear_log_prob` and `sample` share, so that the same logits give a drawn
// token the log-prob, bit for bit, that training computes for it. Included by .cu files.

#include <cstdint>

#include "cuda/elements.cuh"
#include "cuda/reduce.cuh"

namespace sightline::cuda {

/** Threads that a row of this many logits is given: a function of the vocabulary, which the order of sums follows. */
constexpr unsigned softmax_threads(int64_t vocabulary) { return row_threads((vocabulary + 3) / 4, 1024); }

/** softmax(z), z[v] = inverse_temperature * logits[v]: log p[v] = (z[v] - maximum) - log_sum. */
struct SoftmaxRow {
  float inverse_temperature;
  float maximum;
  float log_sum;
  /** -sum_v p[v] log p[v], in nats; 0 unless asked for. */
  float entropy;

  /** Rounded after the product, so that it is 0 and not nearly so at the maximum. */
  __device__ float shifted(float logit) const { return __fmul_rn(logit, inverse_temperature) - maximum; }
  __device__ float log_prob(float logit) const { return shifted(logit) - log_sum; }
};

/** Calls body(v, logits[v]) for every v that is this thread's. */
template <int width, class Body>
__device__ inline void for_logits(const float* logits, int vocabulary, const Body& body) {
  for (int v = static_cast<int>(threadIdx.x) * width; v < vocabulary; v += static_cast<int>(blockDim.x) * width) {
    float values[width];
    load(logits + v, values);
#pragma unroll
    for (int j = 0; j < width; ++j) body(v + j, values[j]);
  }
}

/**
 * Reads the row once: each thread keeps the maximum of what it has seen and sums exp(z - maximum), scaled anew when the maximum
 * rises; then the threads' sums are brought to the common maximum and added as a tree. The sum does not depend on whether the
 * entropy is wanted. All threads call it and get the same bits.
 *
 * @param inverse_temperature  > 0
 * Source: Milakov and Gimelshein 2018, arXiv 1805.02867, algorithm 3; the entropy is log S - sum_v exp(z - max) (z - max) / S,
 * a sum of terms >= 0.
 */
template <int width, bool with_entropy>
__device__ inline SoftmaxRow softmax_row(const float* logits, int64_t vocabulary, float inverse_temperature) {
  constexpr float least = -3.402823466e38f;  // finite: the difference of two infinities is not a number
  float maximum = least, sum = 0.0f, weighted = 0.0f;
  for (int64_t v = threadIdx.x * width; v < vocabulary; v += blockDim.x * width) {
    float z[width];
    load(logits + v, z);
    float highest = maximum;
#pragma unroll
    for (int j = 0; j < width; ++j) {
      z[j] = __fmul_rn(z[j], inverse_temperature);
      highest = fmaxf(highest, z[j]);
    }
    const float down = maximum - highest;
    const float scale = expf(down);
    if constexpr (with_entropy) weighted = sum > 0.0f ? scale * fmaf(sum, down, weighted) : 0.0f;
    sum = __fmul_rn(sum, scale);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      const float shifted = z[j] - highest;
      const float weight = expf(shifted);
      sum = __fadd_rn(sum, weight);
      if constexpr (with_entropy) weighted += weight > 0.0f ? weight * shifted : 0.0f;
    }
    maximum = highest;
  }

  SoftmaxRow row{inverse_temperature, block_max(maximum, least), 0.0f, 0.0f};
  const float down = maximum - row.maximum;
  const float scale = expf(down);
  if constexpr (with_entropy) {
    float sums[2] = {__fmul_rn(sum, scale), sum > 0.0f ? scale * fmaf(sum, down, weighted) : 0.0f};
    block_sum(sums);
    row.log_sum = logf(sums[0]);
    row.entropy = row.log_sum - sums[1] / sums[0];
  } else {
    row.log_sum = logf(block_sum(__fmul_rn(sum, scale)));
  }
  return row;
}

}  // namespace sightline::cuda
