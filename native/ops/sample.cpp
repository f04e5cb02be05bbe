#include "ops/sample.h"

#include "core/philox.h"
#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"
#include "ops/softmax_row.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

/** The lowest id of the highest logit. */
int64_t most_likely(const float* logits, int64_t vocabulary) {
  int64_t best = 0;
  for (int64_t v = 1; v < vocabulary; ++v)
    if (logits[v] > logits[best]) best = v;
  return best;
}

/** An unsigned number that orders as the logit does. */
uint64_t order_of(float logit) {
  const float canonical = logit + 0.0f;  // makes -0 equal to 0
  uint32_t bits;
  __builtin_memcpy(&bits, &canonical, sizeof(bits));
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/**
 * Zeroes the weights of all tokens but the most likely ones that together reach `amount` of measure(token), ties towards
 * the lower id. A search over the digits of `order_of`, highest first: the order itself is never needed.
 */
template <class Measure>
void keep_most_likely(const float* logits, float* weights, int64_t vocabulary, double amount, const Measure& measure) {
  constexpr int digit_bits = 8, digits = 1 << digit_bits;
  uint64_t threshold = 0;  // leading digits of the last order to keep
  double above = 0.0;      // measure of the tokens over the threshold
  for (int shift = 32 - digit_bits; shift >= 0; shift -= digit_bits) {
    double held[digits] = {};
    for (int64_t v = 0; v < vocabulary; ++v) {
      const uint64_t order = order_of(logits[v]);
      if (order >> (shift + digit_bits) == threshold) held[order >> shift & (digits - 1)] += measure(v);
    }
    uint64_t digit = digits - 1;
    for (; digit > 0 && above + held[digit] < amount; --digit) above += held[digit];
    threshold = threshold << digit_bits | digit;
  }
  for (int64_t v = 0; v < vocabulary; ++v) {
    const uint64_t order = order_of(logits[v]);
    if (order > threshold) continue;
    if (order == threshold && above < amount)
      above += measure(v);
    else
      weights[v] = 0.0f;
  }
}

// Weights are summed by blocks, whose sums do not wait for one another.
constexpr int64_t draw_block = 32;

double block_weight(const float* weights, int64_t first, int64_t count) {
  const int64_t last = min(count, first + draw_block);
  double sum = 0.0;
  for (int64_t v = first; v < last; ++v) sum += weights[v];
  return sum;
}

double total_weight(const float* weights, int64_t count) {
  double total = 0.0;
  for (int64_t first = 0; first < count; first += draw_block) total += block_weight(weights, first, count);
  return total;
}

/** The token in whose stretch of the cumulative weight uniform * total lies, 0 <= uniform < 1. */
int64_t draw(const float* weights, int64_t count, double uniform) {
  const double point = uniform * total_weight(weights, count);
  double before = 0.0;
  for (int64_t first = 0; first < count; first += draw_block) {
    const double held = block_weight(weights, first, count);
    if (before + held > point) {
      // Added up as `block_weight` does, the block's last weight arrives at `held`, so this loop finds the token.
      double within = weights[first];
      int64_t v = first;
      while (!(before + within > point)) within += weights[++v];
      return v;
    }
    before += held;
  }
  return 0;  // only if the weights are not numbers
}

int64_t sample_row(const SampleArgs& a, int64_t row, const float* logits, const SoftmaxRow& softmax, float* weights) {
  const int64_t vocabulary = a.vocabulary;
  for_vectors(vocabulary, [&](int64_t v, auto n) { store(weights + v, exp(softmax.shifted(load(logits + v, n))), n); });
  const int64_t top_k = a.top_k[row];
  if (top_k > 0 && top_k < vocabulary)
    keep_most_likely(logits, weights, vocabulary, static_cast<double>(top_k), [](int64_t) { return 1.0; });
  const double top_p = a.top_p[row];
  if (top_p < 1.0)
    keep_most_likely(logits, weights, vocabulary, top_p * total_weight(weights, vocabulary),
                     [&](int64_t v) { return static_cast<double>(weights[v]); });
  const auto bits = philox({static_cast<uint32_t>(a.steps[row]), 0, 0, 0}, {a.keys[2 * row], a.keys[2 * row + 1]});
  return draw(weights, vocabulary, uniform_from_bits(bits[0], bits[1]));
}

}  // namespace

void sample(ExecutionContext& context, const SampleArgs& a) {
  for_row_blocks(context, a.rows, a.vocabulary, [&](RowBlock block) {
    float* weights = context.thread_scratch(block.thread, a.vocabulary);
    for (int64_t row = block.first; row < block.last; ++row) {
      const float* logits = a.logits + row * a.vocabulary;
      const float temperature = a.temperatures[row];
      const SoftmaxRow softmax = softmax_row(logits, a.vocabulary, temperature > 0.0f ? 1.0f / temperature : 1.0f);
      const int64_t token = temperature > 0.0f ? sample_row(a, row, logits, softmax, weights) : most_likely(logits, a.vocabulary);
      a.tokens[row] = static_cast<int32_t>(token);
      a.log_probs[row] = softmax.log_prob(logits[token]);
    }
  });
}

}  // namespace sightline::SIGHTLINE_ISA
