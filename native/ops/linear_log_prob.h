#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/mirrored.h"
#include "core/precision.h"

namespace sightline {

/**
 * Language-model head, temperature, log-softmax and gather in one, by chunks of rows, so that the (R, V) logits never
 * exist whole. With z[r] = inverse_temperature * weight x[r]:
 *   log_probs[r] = z[r, target[r]] - log sum_v exp z[r, v],   entropies[r] = -sum_v p[r, v] log p[r, v]
 *
 * @param x              (R, C) read, of either type
 * @param packed_weight  the head weight (V, C), transposed and packed by `pack_matrix` as B (C, V)
 * @param targets        (R) in [0, V), checked by the caller
 * @param log_probs      (R) written
 * @param entropies      (R) written, in nats; or null
 * @param precision      of the product, and what packed_weight was packed with
 * Numerics: fp32 but for the operands of the product; a row's value depends on that row alone. `sample` reports the same bits.
 */
struct LinearLogProbArgs {
  ConstElements x;
  const void* packed_weight;
  Mirrored<int32_t> targets;
  float* log_probs;
  float* entropies;
  int64_t rows, columns, vocabulary;
  float inverse_temperature;
  Precision precision;
  SIGHTLINE_FIELDS(x, packed_weight, targets, log_probs, entropies, rows, columns, vocabulary, inverse_temperature, precision)
};

/**
 * Recomputes each chunk of logits; with c = dlog_probs, e = dentropies, p the softmax and H the entropy of the row:
 *   dz[v] = c * ([v = target] - p[v]) - e * p[v] * (log p[v] + H),   dlogits = inverse_temperature * dz
 *   dx = dlogits weight,   dweight += dlogits^T x
 *
 * @param packed_weight, precision  as in LinearLogProbArgs
 * @param packed_transposed  the head weight packed by `pack_matrix` as B (V, C)
 * @param dx          (R, C) written, of either type
 * @param dweight     (V, C) accumulated; null when frozen
 * @param dentropies  (R) or null
 */
struct LinearLogProbBackwardArgs {
  const float* dlog_probs;
  const float* dentropies;
  ConstElements x;
  const void* packed_weight;
  const void* packed_transposed;
  Mirrored<int32_t> targets;
  Elements dx;
  float* dweight;
  int64_t rows, columns, vocabulary;
  float inverse_temperature;
  Precision precision;
  SIGHTLINE_FIELDS(dlog_probs, dentropies, x, packed_weight, packed_transposed, targets, dx, dweight, rows, columns, vocabulary,
                   inverse_temperature, precision)
};

}  // namespace sightline
