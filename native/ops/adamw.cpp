#include "ops/adamw.h"

#include <cmath>

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void sum_squares(CpuContext& context, const SumSquaresArgs& a) {
  const int64_t* counts = a.counts;
  auto* partials = reinterpret_cast<double*>(context.shared_scratch(2 * tensor_block_count(counts, a.tensors)));
  for_tensor_blocks(context, counts, a.tensors, [&](int64_t tensor, RowBlock block) {
    const float* elements = a.x[tensor];
    constexpr int sums = 16;
    double sum[sums] = {};
    int64_t i = block.first;
    for (; i + sums <= block.last; i += sums)
      for (int s = 0; s < sums; ++s) {
        const double x = elements[i + s];
        sum[s] += x * x;
      }
    for (; i < block.last; ++i) {
      const double x = elements[i];
      sum[0] += x * x;
    }
    for (int s = 1; s < sums; ++s) sum[0] += sum[s];
    partials[block.index] = sum[0];
  });
  double total = 0.0;
  for (int64_t tensor = 0; tensor < a.tensors; ++tensor) {
    double of_tensor = 0.0;
    for (int64_t block = row_block_count(counts[tensor], 1); block > 0; --block) of_tensor += *partials++;
    total += of_tensor;
  }
  *a.total = total;
}

void adamw(CpuContext& context, const AdamwArgs& a) {
  for (int64_t group = 0; group < a.groups; ++group)
    if (!std::isfinite(a.squares[group])) return;
  const double norm = std::sqrt(a.squares[a.group]), max_norm = static_cast<double>(a.max_norm);
  const float scale = norm > max_norm ? static_cast<float>(max_norm / norm) : 1.0f;
  for_tensor_blocks(context, a.counts, a.tensors, [&](int64_t tensor, RowBlock block) {
    float* parameter = a.parameters[tensor] + block.first;
    float* gradient = a.gradients[tensor] + block.first;
    float* first_moment = a.first_moments[tensor] + block.first;
    float* second_moment = a.second_moments[tensor] + block.first;
    const Vec beta1 = broadcast(a.beta1), beta2 = broadcast(a.beta2);
    const Vec rest1 = broadcast(1.0f - a.beta1), rest2 = broadcast(1.0f - a.beta2);
    const Vec correction1 = broadcast(1.0f / a.bias_corrections1[tensor]);
    const Vec correction2 = broadcast(1.0f / a.bias_corrections2[tensor]);
    const Vec gradient_scale = broadcast(scale), epsilon = broadcast(a.epsilon);
    const Vec learning_rate = broadcast(a.learning_rate), weight_decay = broadcast(a.weight_decay);
    for_vectors(block.last - block.first, [&](int64_t i, auto n) {
      const Vec p = load(parameter + i, n);
      const Vec g = gradient_scale * load(gradient + i, n);
      // Moments of a parameter that gets no gradient decay until rounding keeps them where they are, among the
      // subnormal numbers.
      const Vec m = flush_subnormal(beta1 * load(first_moment + i, n) + rest1 * g);
      const Vec v = flush_subnormal(beta2 * load(second_moment + i, n) + rest2 * (g * g));
      store(first_moment + i, m, n);
      store(second_moment + i, v, n);
      store(gradient + i, zero(), n);
      const Vec direction = m * correction1 / (sqrt(v * correction2) + epsilon);
      store(parameter + i, p - learning_rate * (direction + weight_decay * p), n);
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
