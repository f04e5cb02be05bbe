#include "ops/adamw.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void sum_squares(CpuContext& context, const SumSquaresArgs& a) {
  const int64_t blocks = row_block_count(a.count, 1);
  auto* partials = reinterpret_cast<double*>(context.shared_scratch(2 * blocks));
  for_element_blocks(context, a.count, [&](RowBlock block) {
    constexpr int sums = 16;
    double sum[sums] = {};
    int64_t i = block.first;
    for (; i + sums <= block.last; i += sums)
      for (int s = 0; s < sums; ++s) {
        const double x = a.x[i + s];
        sum[s] += x * x;
      }
    for (; i < block.last; ++i) {
      const double x = a.x[i];
      sum[0] += x * x;
    }
    for (int s = 1; s < sums; ++s) sum[0] += sum[s];
    partials[block.index] = sum[0];
  });
  double total = 0.0;
  for (int64_t block = 0; block < blocks; ++block) total += partials[block];
  *a.total = total;
}

void adamw(CpuContext& context, const AdamwArgs& a) {
  for_element_blocks(context, a.count, [&](RowBlock block) {
    float* parameter = a.parameter + block.first;
    const float* gradient = a.gradient + block.first;
    float* first_moment = a.first_moment + block.first;
    float* second_moment = a.second_moment + block.first;
    const Vec beta1 = broadcast(a.beta1), beta2 = broadcast(a.beta2);
    const Vec rest1 = broadcast(1.0f - a.beta1), rest2 = broadcast(1.0f - a.beta2);
    const Vec correction1 = broadcast(1.0f / a.bias_correction1);
    const Vec correction2 = broadcast(1.0f / a.bias_correction2);
    const Vec gradient_scale = broadcast(a.gradient_scale), epsilon = broadcast(a.epsilon);
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
      const Vec direction = m * correction1 / (sqrt(v * correction2) + epsilon);
      store(parameter + i, p - learning_rate * (direction + weight_decay * p), n);
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
