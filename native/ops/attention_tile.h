#pragma once

// The arithmetic that `attention` and `attention_decode` share: a tile of query rows against blocks of keys. Each row is
// computed by the same operations in the same order whatever tile it is in, which is what makes decoding and training
// agree to the bit. Included by op sources only.

#include <cmath>

#include "ops/attention_decode.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

inline constexpr int64_t block_keys = attention_block;
inline constexpr int block_vectors = static_cast<int>(block_keys) / lanes;
inline constexpr int64_t max_padded_head_size = 256;
inline constexpr float minus_infinity = -__builtin_inff();

/** Keys transposed, (D, block_keys), and values, (block_keys, padded D), of one block of positions. */
struct KeyValueBlock {
  const float* keys;
  const float* values;
};

inline Vec lane_numbers() {
  Vec v;
  for (int i = 0; i < lanes; ++i) v[i] = static_cast<float>(i);
  return v;
}

/** scores[r][s] = q[r] . k[s] for the first `vectors` vectors of keys, summed over D in order. */
template <int Rows>
inline void score_block(const float* const* q, const float* keys, int64_t head_size, int vectors, float (*scores)[block_keys]) {
  for (int v = 0; v < vectors; v += 2) {
    // An odd count computes one vector more, from memory that is there but holds no keys; nobody reads the result.
    Vec first[Rows], second[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) first[r] = second[r] = zero();
    const float* column = keys + v * lanes;
    for (int64_t d = 0; d < head_size; ++d) {
      const Vec k0 = load(column + d * block_keys), k1 = load(column + d * block_keys + lanes);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        const Vec x = broadcast(q[r][d]);
        first[r] = fma(x, k0, first[r]);
        second[r] = fma(x, k1, second[r]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      store(scores[r] + v * lanes, first[r]);
      store(scores[r] + (v + 1) * lanes, second[r]);
    }
  }
}

/** sums[r] += sum_s weights[r][s] * rows[s] over the first `keys` keys in order; rows and sums are `width` wide. */
template <int Rows>
inline void add_weighted_rows(const float (*weights)[block_keys], const float* rows, int64_t width, int64_t keys,
                              float (*sums)[max_padded_head_size]) {
  int64_t c = 0;
  for (; c + 2 * lanes <= width; c += 2 * lanes) {
    Vec first[Rows], second[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) first[r] = load(sums[r] + c), second[r] = load(sums[r] + c + lanes);
    for (int64_t s = 0; s < keys; ++s) {
      const Vec v0 = load(rows + s * width + c), v1 = load(rows + s * width + c + lanes);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        const Vec w = broadcast(weights[r][s]);
        first[r] = fma(w, v0, first[r]);
        second[r] = fma(w, v1, second[r]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) store(sums[r] + c, first[r]), store(sums[r] + c + lanes, second[r]);
  }
  for (; c < width; c += lanes)
    for (int r = 0; r < Rows; ++r) {
      Vec sum = load(sums[r] + c);
      for (int64_t s = 0; s < keys; ++s) sum = fma(broadcast(weights[r][s]), load(rows + s * width + c), sum);
      store(sums[r] + c, sum);
    }
}

/**
 * Attention of `Rows` query rows of one head.
 *
 * @param q            row r: D floats
 * @param visible      row r sees the keys [0, visible[r]), at least one
 * @param block        block(i): the keys and values of positions [i * block_keys, (i + 1) * block_keys)
 * @param out          row r: D floats, written
 * @param log_sum_exp  row r, written; may be null
 */
template <int Rows, class Block>
inline void attend_rows(const float* const* q, const int64_t* visible, const Block& block, int64_t head_size, float scale,
                        float* const* out, float* const* log_sum_exp) {
  const int64_t width = padded_head_size(head_size);
  alignas(64) float weights[Rows][block_keys];
  alignas(64) float sums[Rows][max_padded_head_size];
  float maximum[Rows], total[Rows];
  int64_t most = 0;
  for (int r = 0; r < Rows; ++r) {
    maximum[r] = minus_infinity;
    total[r] = 0.0f;
    for (int64_t c = 0; c < width; ++c) sums[r][c] = 0.0f;
    most = max(most, visible[r]);
  }
  const Vec numbers = lane_numbers();
  for (int64_t first = 0; first < most; first += block_keys) {
    const KeyValueBlock kv = block(first / block_keys);
    const int64_t keys = min(block_keys, most - first);
    const int vectors = static_cast<int>((keys + lanes - 1) / lanes);
    score_block<Rows>(q, kv.keys, head_size, vectors, weights);
    for (int r = 0; r < Rows; ++r) {
      const Vec limit = broadcast(static_cast<float>(min(block_keys, max(0, visible[r] - first))));
      Vec highest = broadcast(minus_infinity);
      for (int v = 0; v < vectors; ++v) {
        const Vec number = numbers + broadcast(static_cast<float>(v * lanes));
        const Vec score = number < limit ? load(weights[r] + v * lanes) * broadcast(scale) : broadcast(minus_infinity);
        store(weights[r] + v * lanes, score);
        highest = max(highest, score);
      }
      const float next = max(maximum[r], max_lanes(highest));
      const float correction = exp(maximum[r] - next);
      maximum[r] = next;
      Vec block_total = zero();
      for (int v = 0; v < vectors; ++v) {
        const Vec weight = exp(load(weights[r] + v * lanes) - broadcast(next));
        store(weights[r] + v * lanes, weight);
        block_total = block_total + weight;
      }
      total[r] = total[r] * correction + sum_lanes(block_total);
      for (int64_t c = 0; c < width; c += lanes) store(sums[r] + c, load(sums[r] + c) * broadcast(correction));
    }
    add_weighted_rows<Rows>(weights, kv.values, width, keys, sums);
  }
  for (int r = 0; r < Rows; ++r) {
    const float inverse = 1.0f / total[r];
    for (int64_t c = 0; c < head_size; ++c) out[r][c] = sums[r][c] * inverse;
    if (log_sum_exp) *log_sum_exp[r] = maximum[r] + std::log(total[r]);
  }
}

}  // namespace sightline::SIGHTLINE_ISA
