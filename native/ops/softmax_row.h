#pragma once

// Softmax over one row of logits: what `linear_log_prob` and `sample` share, so that the log-prob that a token is
// sampled with is the log-prob that training computes for it, bit for bit. Included by op sources only.

#include <cmath>

#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

/** softmax(z) of one row, z[v] = inverse_temperature * logits[v]: log p[v] = (z[v] - maximum) - log_sum. */
struct SoftmaxRow {
  float inverse_temperature;
  float maximum;
  float log_sum;

  Vec shifted(Vec logits) const { return logits * broadcast(inverse_temperature) - broadcast(maximum); }
  Vec log_prob(Vec logits) const { return shifted(logits) - broadcast(log_sum); }
  float log_prob(float logit) const { return (logit * inverse_temperature - maximum) - log_sum; }
};

inline float highest(const float* x, int64_t count) {
  Vec most = broadcast(-__builtin_inff());
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) most = max(most, load(x + i));
  float result = max_lanes(most);
  for (; i < count; ++i) result = max(result, x[i]);
  return result;
}

/** @param inverse_temperature > 0 */
inline SoftmaxRow softmax_row(const float* logits, int64_t vocabulary, float inverse_temperature) {
  SoftmaxRow row{inverse_temperature, highest(logits, vocabulary) * inverse_temperature, 0.0f};
  row.log_sum = std::log(sum_vectors(vocabulary, [&](int64_t v, auto n) {
    return exp(row.shifted(load(logits + v, n)));
  }));
  return row;
}

/** -sum_v p[v] log p[v], in nats. */
inline float softmax_entropy(const SoftmaxRow& row, const float* logits, int64_t vocabulary) {
  return -sum_vectors(vocabulary, [&](int64_t v, auto n) {
    const Vec log_prob = row.log_prob(load(logits + v, n));
    return exp(log_prob) * log_prob;
  });
}

}  // namespace sightline::SIGHTLINE_ISA
