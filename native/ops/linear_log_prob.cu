#include "ops/linear_log_prob.h"

#include <algorithm>

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "ops/cuda_scratch.h"
#include "ops/op_products.h"
#include "ops/softmax_row.cuh"

// The product is cuBLASLt's, into fp32 logits of a chunk of rows; the kernels work on those with one block of up to 1024 threads
// per row. Forward reads the logits once. Backward reads them twice (the second time from L2: 16 MB of them are in flight) and
// writes what the gradient's products multiply: fp32 in place, or bf16 beside them. Registers on sm_80: at most 32. Shared
// memory: 384 bytes of partial sums.

namespace sightline::cuda {

template <int width, bool with_entropy>
__global__ void __launch_bounds__(1024) linear_log_prob_rows_kernel(const float* logits, const int32_t* targets, float* log_probs,
                                                                    float* entropies, int64_t vocabulary, float inverse_temperature) {
  const float* row = logits + blockIdx.x * vocabulary;
  const SoftmaxRow softmax = softmax_row<width, with_entropy>(row, vocabulary, inverse_temperature);
  if (threadIdx.x != 0) return;
  log_probs[blockIdx.x] = softmax.log_prob(row[targets[blockIdx.x]]);
  if constexpr (with_entropy) entropies[blockIdx.x] = softmax.entropy;
}

/** dlogits may be the logits themselves: an element is read by the thread that writes it. */
template <int width, bool with_entropy, class T>
__global__ void __launch_bounds__(1024) linear_log_prob_backward_rows_kernel(const float* logits, const int32_t* targets,
                                                                             const float* dlog_probs, const float* dentropies, T* dlogits,
                                                                             int64_t vocabulary, float inverse_temperature) {
  const float* row = logits + blockIdx.x * vocabulary;
  T* to = dlogits + blockIdx.x * vocabulary;
  const SoftmaxRow softmax = softmax_row<width, with_entropy>(row, vocabulary, inverse_temperature);
  const int64_t target = targets[blockIdx.x];
  const float dlog_prob = dlog_probs[blockIdx.x], dentropy = with_entropy ? dentropies[blockIdx.x] : 0.0f;
  // dz[v] = -p[v] * (c + e * (log p[v] + H)), plus c at the target.
  const float offset = fmaf(dentropy, softmax.entropy, dlog_prob);
  for (int64_t v = threadIdx.x * width; v < vocabulary; v += blockDim.x * width) {
    float z[width];
    load(row + v, z);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      const float log_prob = softmax.log_prob(z[j]);
      float factor = offset;
      if constexpr (with_entropy) factor = fmaf(dentropy, log_prob, offset);
      const float dz = (v + j == target ? dlog_prob : 0.0f) - expf(log_prob) * factor;
      z[j] = inverse_temperature * dz;
    }
    store(to + v, z);
  }
}

namespace {

/** Calls body(width, with_entropy) with compile-time constants; rows of logits begin at multiples of 16 bytes or are read one by one. */
template <class Body>
void with_row_kernel(int64_t vocabulary, bool with_entropy, const Body& body) {
  with_width(
      [&](auto width) {
        if (with_entropy)
          body(width, std::true_type());
        else
          body(width, std::false_type());
      },
      vocabulary, static_cast<const float*>(nullptr));
}

}  // namespace

void linear_log_prob(CudaContext& context, const LinearLogProbArgs& a) {
  if (a.rows == 0) return;
  const int64_t vocabulary = a.vocabulary, chunk = log_prob_rows_at_once(a.rows, vocabulary);
  auto* logits = context.scratch_array<float>(chunk * vocabulary);
  for (int64_t first = 0; first < a.rows; first += chunk) {
    const int64_t rows = std::min(chunk, a.rows - first);
    context.multiply(logits_product(a, first, rows, logits));
    with_row_kernel(vocabulary, a.entropies != nullptr, [&](auto width, auto with_entropy) {
      context.launch(linear_log_prob_rows_kernel<width(), with_entropy()>, dim3(static_cast<unsigned>(rows)),
                     dim3(softmax_threads(vocabulary)), 0, logits, a.targets.device + first, a.log_probs + first,
                     with_entropy() ? a.entropies + first : nullptr, vocabulary, a.inverse_temperature);
    });
  }
}

void linear_log_prob_backward(CudaContext& context, const LinearLogProbBackwardArgs& a) {
  if (a.rows == 0) return;
  const int64_t vocabulary = a.vocabulary, chunk = log_prob_rows_at_once(a.rows, vocabulary);
  auto* logits = context.scratch_array<float>(chunk * vocabulary);
  const DType type = a.precision == Precision::bf16 ? DType::bf16 : DType::f32;
  with_type(type, [&]<class T>(Type<T>) {
    T* dlogits;
    if constexpr (std::is_same_v<T, bf16>)
      dlogits = context.scratch_array<bf16>(chunk * vocabulary);
    else
      dlogits = logits;
    for (int64_t first = 0; first < a.rows; first += chunk) {
      const int64_t rows = std::min(chunk, a.rows - first);
      context.multiply(logits_product(a, first, rows, logits));
      with_row_kernel(vocabulary, a.dentropies != nullptr, [&](auto width, auto with_entropy) {
        context.launch(linear_log_prob_backward_rows_kernel<width(), with_entropy(), T>, dim3(static_cast<unsigned>(rows)),
                       dim3(softmax_threads(vocabulary)), 0, logits, a.targets.device + first, a.dlog_probs + first,
                       with_entropy() ? a.dentropies + first : nullptr, dlogits, vocabulary, a.inverse_temperature);
      });
      context.multiply(dx_product(a, first, rows, {dlogits, type}));
      if (a.dweight) context.multiply(dweight_product(a, first, rows, {dlogits, type}));
    }
  });
}

}  // namespace sightline::cuda
