#pragma once

#include <cstdint>

#include "core/fields.h"
#include "core/mirrored.h"

namespace sightline {

/**
 * Draws one token per row from softmax(logits / temperature), restricted to the top_k most likely tokens and then to the
 * smallest set of the most likely ones whose probability (renormalised after top_k) reaches top_p. Ties are broken towards
 * the lower id. With temperature 0 the most likely token is taken.
 *
 * @param logits         (B, V) read
 * @param temperatures   (B) >= 0
 * @param top_k          (B) 0 = all
 * @param top_p          (B) in (0, 1]
 * @param keys           (B, 2) Philox key of the row's request
 * @param steps          (B) index of the token within its response: the Philox counter
 * @param tokens         (B) written
 * @param log_probs      (B) written: log-prob of the drawn token under the full softmax(logits / temperature), before
 *                       top_k and top_p (temperature 0: under softmax(logits)); the bits of `linear_log_prob` with
 *                       inverse_temperature = 1 / temperature in fp32
 * Source: Holtzman et al. 2020 (top-p), arXiv 1904.09751; Salmon et al. 2011 (Philox).
 */
struct SampleArgs {
  const float* logits;
  Mirrored<float> temperatures;
  Mirrored<int32_t> top_k;
  Mirrored<float> top_p;
  Mirrored<uint32_t> keys;
  Mirrored<int32_t> steps;
  int32_t* tokens;
  float* log_probs;
  int64_t rows, vocabulary;
  SIGHTLINE_FIELDS(logits, temperatures, top_k, top_p, keys, steps, tokens, log_probs, rows, vocabulary)
};

}  // namespace sightline
