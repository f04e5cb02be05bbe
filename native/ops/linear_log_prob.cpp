#include "ops/linear_log_prob.h"

#include "ops/op_products.h"
#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"
#include "ops/softmax_row.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

/** Rows whose logits exist at a time: 4 MB of them, yet enough rows to be worth a pass over the weight. */
int64_t rows_per_chunk(int64_t vocabulary) { return max(int64_t{64}, (int64_t{1} << 20) / vocabulary); }

/** Turns the logits of one row into dlogits. */
void logits_to_gradient(const SoftmaxRow& row, float* logits, int64_t vocabulary, int32_t target,
                        float dlog_prob, float dentropy) {
  // dz[v] = -p[v] * (c + e * (log p[v] + H)), plus c at the target.
  float offset = dlog_prob;
  if (dentropy != 0.0f) offset += dentropy * softmax_entropy(row, logits, vocabulary);
  const Vec scale = broadcast(-row.inverse_temperature);
  for_vectors(vocabulary, [&](int64_t v, auto n) {
    const Vec log_prob = row.log_prob(load(logits + v, n));
    const Vec dz = exp(log_prob) * fma(broadcast(dentropy), log_prob, broadcast(offset));
    // Most of a peaked distribution is next to nothing, and the products that follow are slow on subnormals.
    store(logits + v, flush_subnormal(scale * dz), n);
  });
  logits[target] += row.inverse_temperature * dlog_prob;
}

}  // namespace

void linear_log_prob(CpuContext& context, const LinearLogProbArgs& a) {
  const int64_t vocabulary = a.vocabulary, chunk = min(a.rows, rows_per_chunk(vocabulary));
  float* logits = context.op_scratch(chunk * vocabulary);
  for (int64_t first = 0; first < a.rows; first += chunk) {
    const int64_t rows = min(chunk, a.rows - first);
    matmul(context, logits_product(a, first, rows, logits));
    for_row_blocks(context, rows, vocabulary, [&](RowBlock block) {
      for (int64_t row = block.first; row < block.last; ++row) {
        const float* z = logits + row * vocabulary;
        const SoftmaxRow softmax = softmax_row(z, vocabulary, a.inverse_temperature);
        a.log_probs[first + row] = softmax.log_prob(z[a.targets[first + row]]);
        if (a.entropies) a.entropies[first + row] = softmax_entropy(softmax, z, vocabulary);
      }
    });
  }
}

void linear_log_prob_backward(CpuContext& context, const LinearLogProbBackwardArgs& a) {
  const int64_t vocabulary = a.vocabulary;
  const int64_t chunk = min(a.rows, rows_per_chunk(vocabulary));
  float* logits = context.op_scratch(chunk * vocabulary);
  for (int64_t first = 0; first < a.rows; first += chunk) {
    const int64_t rows = min(chunk, a.rows - first);
    matmul(context, logits_product(a, first, rows, logits));
    for_row_blocks(context, rows, vocabulary, [&](RowBlock block) {
      for (int64_t row = block.first; row < block.last; ++row) {
        float* z = logits + row * vocabulary;
        const SoftmaxRow softmax = softmax_row(z, vocabulary, a.inverse_temperature);
        const float dentropy = a.dentropies ? a.dentropies[first + row] : 0.0f;
        const int32_t target = a.targets[first + row];
        logits_to_gradient(softmax, z, vocabulary, target, a.dlog_probs[first + row], dentropy);
      }
    });
    matmul(context, dx_product(a, first, rows, logits));
    if (a.dweight) matmul(context, dweight_product(a, first, rows, logits));
  }
}

}  // namespace sightline::SIGHTLINE_ISA
