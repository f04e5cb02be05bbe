#include "ops/adamw.h"

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "cuda/reduce.cuh"

// Each kernel takes all tensors of a call at once. Every block of 256 threads has 16384 elements of one tensor, which it finds by
// bisection in a table of the blocks before each tensor; a thread takes 4 neighbours at a time, as one vector where the tensor
// is aligned for it.
// adamw: 16 bytes read and 16 written per element, nothing else counts. Registers on sm_80: at most 64; no shared memory.
// sum_squares: a block adds 64 elements per thread, then a tree over the block; one block adds the partial sums, every 256th in
// one thread, then a tree. All in double; the order is a function of the counts alone. Registers on sm_80: at most 40.
// Shared memory: 256 bytes of partial sums.

namespace sightline::cuda {
namespace {

constexpr int threads = 256;
constexpr int64_t block_elements = 64 * threads;

/** How blocks are dealt out to tensors. */
struct TensorBlocks {
  const int64_t* counts;
  /** (tensors) blocks of all tensors before. */
  const int64_t* firsts;
  int64_t tensors;

  struct Part {
    int64_t tensor, first, last;
  };
  /** Elements [first, last) of a tensor: the calling block's. */
  __device__ Part part() const {
    const int64_t block = blockIdx.x;
    int64_t low = 0, high = tensors;  // the tensor is in [low, high)
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      if (firsts[middle] <= block)
        low = middle;
      else
        high = middle;
    }
    const int64_t first = (block - firsts[low]) * block_elements;
    return {low, first, min(counts[low], first + block_elements)};
  }
};

/** The table for a call's tensors. @return it, and the number of blocks */
std::pair<TensorBlocks, int64_t> tensor_blocks(CudaContext& context, const Mirrored<int64_t>& counts, int64_t tensors) {
  std::vector<int64_t> firsts;
  int64_t blocks = 0;
  for (int64_t tensor = 0; tensor < tensors; ++tensor) {
    firsts.push_back(blocks);
    blocks += (counts.host[tensor] + block_elements - 1) / block_elements;
  }
  return {{counts.device, context.upload(firsts), tensors}, blocks};
}

__device__ bool has_vectors(const float* x) { return reinterpret_cast<uintptr_t>(x) % 16 == 0; }

/** What of the arguments is the same for all elements of a tensor. */
struct AdamwStep {
  float learning_rate, beta1, beta2, epsilon, weight_decay, correction1, correction2, scale;

  template <int width>
  __device__ void at(float* parameter, float* gradient, float* first_moment, float* second_moment) const {
    float p[width], g[width], m[width], v[width];
    load(parameter, p);
    load(gradient, g);
    load(first_moment, m);
    load(second_moment, v);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      const float scaled = scale * g[j];
      g[j] = 0.0f;
      m[j] = beta1 * m[j] + (1.0f - beta1) * scaled;
      v[j] = beta2 * v[j] + (1.0f - beta2) * (scaled * scaled);
      const float direction = m[j] * correction1 / (sqrtf(v[j] * correction2) + epsilon);
      p[j] -= learning_rate * (direction + weight_decay * p[j]);
    }
    store(first_moment, m);
    store(second_moment, v);
    store(gradient, g);
    store(parameter, p);
  }
};

}  // namespace

/** Elements go to threads in fours whether or not they can be read as such, so that the sum does not depend on it. */
__global__ void __launch_bounds__(threads)
    sum_squares_partials_kernel(const float* const* tensors, const TensorBlocks blocks, double* partials) {
  const auto [tensor, first, last] = blocks.part();
  const float* x = tensors[tensor];
  const bool vectors = has_vectors(x);
  double sum = 0.0;
#pragma unroll 4
  for (int64_t i = first + threadIdx.x * 4; i < last; i += threads * 4) {
    float values[4] = {};
    if (vectors && i + 4 <= last) {
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

__global__ void __launch_bounds__(threads) sum_squares_total_kernel(const double* partials, int64_t blocks, double* total) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < blocks; i += threads) sum += partials[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

__global__ void __launch_bounds__(threads) adamw_kernel(const AdamwArgs a, const TensorBlocks blocks) {
  for (int64_t group = 0; group < a.groups; ++group)
    if (!isfinite(a.squares[group])) return;
  const double norm = sqrt(a.squares[a.group]), max_norm = static_cast<double>(a.max_norm);
  const auto [tensor, first, last] = blocks.part();
  const AdamwStep step{a.learning_rate,
                       a.beta1,
                       a.beta2,
                       a.epsilon,
                       a.weight_decay,
                       1.0f / a.bias_corrections1.device[tensor],
                       1.0f / a.bias_corrections2.device[tensor],
                       norm > max_norm ? static_cast<float>(max_norm / norm) : 1.0f};
  float *parameter = a.parameters.device[tensor], *gradient = a.gradients.device[tensor];
  float *first_moment = a.first_moments.device[tensor], *second_moment = a.second_moments.device[tensor];
  const bool vectors =
      has_vectors(parameter) && has_vectors(gradient) && has_vectors(first_moment) && has_vectors(second_moment);
  for (int64_t i = first + threadIdx.x * 4; i < last; i += threads * 4) {
    if (vectors && i + 4 <= last)
      step.at<4>(parameter + i, gradient + i, first_moment + i, second_moment + i);
    else
      for (int64_t j = i; j < min(last, i + 4); ++j) step.at<1>(parameter + j, gradient + j, first_moment + j, second_moment + j);
  }
}

void sum_squares(CudaContext& context, const SumSquaresArgs& a) {
  const auto [tensors, blocks] = tensor_blocks(context, a.counts, a.tensors);
  auto* partials = context.scratch_array<double>(blocks);
  context.launch(sum_squares_partials_kernel, dim3(static_cast<unsigned>(blocks)), dim3(threads), 0, a.x.device, tensors, partials);
  context.launch(sum_squares_total_kernel, dim3(1), dim3(threads), 0, partials, blocks, a.total);
}

void adamw(CudaContext& context, const AdamwArgs& a) {
  const auto [tensors, blocks] = tensor_blocks(context, a.counts, a.tensors);
  context.launch(adamw_kernel, dim3(static_cast<unsigned>(blocks)), dim3(threads), 0, a, tensors);
}

}  // namespace sightline::cuda
