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
  constexpr int64_t stretch = 1024;
  float maximum = -__builtin_inff();
  int64_t start = 0;
  for (int64_t first = 0; first < vocabulary; first += stretch) {
    const float most = highest(logits + first, min(stretch, vocabulary - first));
    if (most > maximum) maximum = most, start = first;
  }
  for (int64_t v = start; v < min(vocabulary, start + stretch); ++v)
    if (logits[v] == maximum) return v;
  return 0;  // only if the logits are not numbers
}

/** The order of floats as that of unsigned integers, and back. */
uint32_t order_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
float float_at(uint32_t order) {
  const uint32_t bits = order >> 31 ? order & 0x7fffffffu : ~order;
  float x;
  __builtin_memcpy(&x, &bits, sizeof(x));
  return x;
}

/**
 * Zeroes the weights of all tokens but the most likely ones that together hold `amount`; measure(v, n) says
 * what a vector of tokens holds. Ties are broken towards the lower id.
 *
 * Bisects for the highest logit at which the tokens at or above it hold enough. Sums run in one fixed order, in
 * which more tokens never give less, rounded or not; so there is such a logit, and no need to sort.
 */
template <class Measure>
void keep_most_likely(const float* logits, float* weights, int64_t vocabulary, double amount,
                      const Measure& measure) {
  const auto held_from = [&](float threshold) {
    return sum_vectors(vocabulary, [&](int64_t v, auto n) {
      return load(logits + v, n) >= broadcast(threshold) ? measure(v, n) : zero();
    });
  };
  uint32_t enough = order_of(-__builtin_inff()), too_few = order_of(__builtin_inff());
  while (too_few - enough > 1) {
    const uint32_t middle = enough + (too_few - enough) / 2;
    (held_from(float_at(middle)) >= amount ? enough : too_few) = middle;
  }
  const float threshold = float_at(enough);
  double held = held_from(float_at(too_few));
  for (int64_t v = 0; v < vocabulary; ++v) {
    if (logits[v] > threshold) continue;
    if (logits[v] == threshold && held < amount)
      held += measure(v, Part{1})[0];
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
      // Added up as `block_weight` does, the last weight arrives at `held`, so this loop finds the token.
      double within = weights[first];
      int64_t v = first;
      while (!(before + within > point)) within += weights[++v];
      return v;
    }
    before += held;
  }
  return 0;  // only if the weights are not numbers
}

int64_t sample_row(const SampleArgs& a, int64_t row, const float* logits, const SoftmaxRow& softmax,
                   float* weights) {
  const int64_t vocabulary = a.vocabulary;
  for_vectors(vocabulary, [&](int64_t v, auto n) {
    store(weights + v, exp(softmax.shifted(load(logits + v, n))), n);
  });
  const int64_t top_k = a.top_k[row];
  if (top_k > 0 && top_k < vocabulary) {
    const auto one = [](int64_t, auto) { return broadcast(1.0f); };
    keep_most_likely(logits, weights, vocabulary, static_cast<double>(top_k), one);
  }
  const double top_p = a.top_p[row];
  if (top_p < 1.0) {
    const auto weight = [&](int64_t v, auto n) { return load(weights + v, n); };
    keep_most_likely(logits, weights, vocabulary, top_p * sum_vectors(vocabulary, weight), weight);
  }
  const uint32_t* key = a.keys + 2 * row;
  const auto bits = philox({static_cast<uint32_t>(a.steps[row]), 0, 0, 0}, {key[0], key[1]});
  return draw(weights, vocabulary, uniform_from_bits(bits[0], bits[1]));
}

}  // namespace

void sample(CpuContext& context, const SampleArgs& a) {
  for_row_blocks(context, a.rows, a.vocabulary, [&](RowBlock block) {
    float* weights = context.thread_scratch(block.thread, a.vocabulary);
    for (int64_t row = block.first; row < block.last; ++row) {
      const float* logits = a.logits + row * a.vocabulary;
      const float temperature = a.temperatures[row];
      const bool greedy = temperature == 0.0f;
      const SoftmaxRow softmax = softmax_row(logits, a.vocabulary, greedy ? 1.0f : 1.0f / temperature);
      const int64_t token = greedy || a.top_k[row] == 1 ? most_likely(logits, a.vocabulary)
                                                        : sample_row(a, row, logits, softmax, weights);
      a.tokens[row] = static_cast<int32_t>(token);
      a.log_probs[row] = softmax.log_prob(logits[token]);
    }
  });
}

}  // namespace sightline::SIGHTLINE_ISA
