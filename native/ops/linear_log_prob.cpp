#include "ops/linear_log_prob.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"
#include "ops/softmax_row.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

/** Rows whose logits exist at a time: 4 MB of them, yet enough rows to be worth a pass over the weight. */
int64_t rows_per_chunk(int64_t vocabulary) { return max(int64_t{64}, (int64_t{1} << 20) / vocabulary); }

/** logits (rows, V) = x weight^T */
void compute_logits(CpuContext& context, ConstElements x, const void* packed_weight, int64_t rows,
                    int64_t columns, int64_t vocabulary, Precision precision, float* logits) {
  matmul(context, {.a = x,
                   .a_row_stride = columns,
                   .a_column_stride = 1,
                   .b = nullptr,
                   .b_row_stride = 0,
                   .b_column_stride = 0,
                   .packed_b = packed_weight,
                   .c = logits,
                   .c_row_stride = vocabulary,
                   .bias = nullptr,
                   .addend = nullptr,
                   .addend_row_stride = 0,
                   .m = rows,
                   .n = vocabulary,
                   .k = columns,
                   .alpha = 1.0f,
                   .accumulate = false,
                   .precision = precision});
}

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
    compute_logits(context, a.x.at(first * a.columns), a.packed_weight, rows, a.columns, vocabulary, a.precision, logits);
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
  const int64_t vocabulary = a.vocabulary, columns = a.columns;
  const int64_t chunk = min(a.rows, rows_per_chunk(vocabulary));
  float* logits = context.op_scratch(chunk * vocabulary);
  for (int64_t first = 0; first < a.rows; first += chunk) {
    const int64_t rows = min(chunk, a.rows - first);
    const ConstElements x = a.x.at(first * columns);
    compute_logits(context, x, a.packed_weight, rows, columns, vocabulary, a.precision, logits);
    for_row_blocks(context, rows, vocabulary, [&](RowBlock block) {
      for (int64_t row = block.first; row < block.last; ++row) {
        float* z = logits + row * vocabulary;
        const SoftmaxRow softmax = softmax_row(z, vocabulary, a.inverse_temperature);
        const float dentropy = a.dentropies ? a.dentropies[first + row] : 0.0f;
        const int32_t target = a.targets[first + row];
        logits_to_gradient(softmax, z, vocabulary, target, a.dlog_probs[first + row], dentropy);
      }
    });
    matmul(context, {.a = logits,
                     .a_row_stride = vocabulary,
                     .a_column_stride = 1,
                     .b = nullptr,
                     .b_row_stride = 0,
                     .b_column_stride = 0,
                     .packed_b = a.packed_transposed,
                     .c = a.dx.at(first * columns),
                     .c_row_stride = columns,
                     .bias = nullptr,
                     .addend = nullptr,
                     .addend_row_stride = 0,
                     .m = rows,
                     .n = columns,
                     .k = vocabulary,
                     .alpha = 1.0f,
                     .accumulate = false,
                     .precision = a.precision});
    if (!a.dweight) continue;
    matmul(context, {.a = logits,
                     .a_row_stride = 1,
                     .a_column_stride = vocabulary,
                     .b = x,
                     .b_row_stride = columns,
                     .b_column_stride = 1,
                     .packed_b = nullptr,
                     .c = a.dweight,
                     .c_row_stride = columns,
                     .bias = nullptr,
                     .addend = nullptr,
                     .addend_row_stride = 0,
                     .m = vocabulary,
                     .n = columns,
                     .k = rows,
                     .alpha = 1.0f,
                     .accumulate = true,
                     .precision = a.precision});
  }
}

}  // namespace sightline::SIGHTLINE_ISA
