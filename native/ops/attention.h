#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/mirrored.h"

namespace sightline {

/** Keys are walked in blocks of this many absolute positions; also the number of tokens in a page of the KV cache. */
inline constexpr int64_t attention_block = 64;

/**
 * Scaled dot-product attention over packed sequences of different lengths, with grouped key/value heads and shared
 * prefixes. For a query at position t of its sequence, over the keys s that it sees:
 *   out[t] = sum_s softmax_s(scale * q[t] . k[s]) v[s]
 * A sequence is a run of consecutive rows, a segment. A segment may continue another one, its prefix: then its rows also
 * see all rows of the prefix, and its positions start behind them.
 *
 * @param qkv       (N, (H + 2 G) * D): H query heads, then G key heads, then G value heads; H is a multiple of G and
 *                  query head h reads key head h / (H / G)
 * @param segments  (S, 3): first row, length, index of the prefix segment or -1. A prefix has no prefix itself, and the
 *                  segments that continue it follow it directly
 * @param causal    rows see keys up to their own position; otherwise all rows of their segment (prefixes not allowed)
 * @param first_queries  (S) or null: the rows of segment s before its first_queries[s]-th, in [0, length], are keys and
 *                  values only, and what `out` and `log_sum_exp` hold for them stays as it is. Null: all rows are queries
 * @param out       (N, H * D) written
 * @param log_sum_exp  (N, H) written: log sum_s exp(scale * q . k), kept for backward
 * @param scale     > 0
 * Types: one for qkv and out; in bf16 D is even.
 * @throws invalid_argument otherwise
 * Numerics: fp32, rounded once where out is bf16. Of bf16 numbers q . k may be summed by pairs, whose products are exact; the
 * softmax and its weights stay fp32. Keys in spans of four blocks of `attention_block` absolute positions with a running
 * maximum and sum, the same operations in the same order for a row whatever its neighbours are. `attention_decode` gives the
 * same bits.
 * CUDA in bf16: tensor cores multiply weights, and in the backward pass P and dS / scale, that are rounded to bf16; decoding
 * shares a row's keys out among blocks, so that its bits are not those of this op.
 * Source: Vaswani et al. 2017 (equation 1); online softmax, Milakov and Gimelshein 2018, arXiv 1805.02867; grouped heads,
 * Ainslie et al. 2023, arXiv 2305.13245.
 */
struct AttentionArgs {
  ConstElements qkv;
  Mirrored<int32_t> segments;
  Mirrored<int32_t> first_queries;
  Elements out;
  float* log_sum_exp;
  int64_t segment_count, heads, kv_heads, head_size;
  float scale;
  bool causal;
  SIGHTLINE_FIELDS(qkv, segments, first_queries, out, log_sum_exp, segment_count, heads, kv_heads, head_size, scale, causal)
};

/**
 * With P[t, s] = exp(scale * q[t] . k[s] - log_sum_exp[t]), dP = dout v^T, delta[t] = dout[t] . out[t],
 * dS = scale * P * (dP - delta):   dq = dS k,  dk = dS^T q,  dv = P^T dout
 *
 * @param first_queries  as in the forward pass: nothing is read of `dout`, `out` and `log_sum_exp` for rows that are no
 *              queries, their dq is zero
 * @param dqkv  (N, (H + 2 G) * D) written, laid out as qkv
 * Types: one for dout, qkv, out and dqkv; in bf16 D is even.
 * @throws invalid_argument otherwise
 * Numerics: as in the forward pass, fp32 but for the products of bf16 along D; rounded once where dqkv is bf16. A key's
 * gradient is summed over its queries in order of segment, head of the group, row.
 * Source: Dao 2023, arXiv 2307.08691, algorithm 2.
 */
struct AttentionBackwardArgs {
  ConstElements dout;
  ConstElements qkv;
  ConstElements out;
  const float* log_sum_exp;
  Mirrored<int32_t> segments;
  Mirrored<int32_t> first_queries;
  Elements dqkv;
  int64_t segment_count, heads, kv_heads, head_size;
  float scale;
  bool causal;
  SIGHTLINE_FIELDS(dout, qkv, out, log_sum_exp, segments, first_queries, dqkv, segment_count, heads, kv_heads, head_size, scale, causal)
};

}  // namespace sightline
