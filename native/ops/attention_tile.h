#pragma once

// The arithmetic that the attention ops share: a tile of query rows against blocks of keys. Each row is computed by the same
// operations in the same order whatever tile it is in, which is what makes decoding and training agree to the bit.
// Included by op sources only.

#include <cmath>

#include "ops/attention_decode.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

inline constexpr int64_t block_keys = attention_block;
inline constexpr int64_t max_padded_head_size = 256;
inline constexpr float minus_infinity = -__builtin_inff();
inline constexpr float log2_e = 1.44269504f;

/** Rows of a tile: with two vectors of columns, as many running sums as leave registers for the operands. */
inline constexpr int tile_rows = lanes == 16 ? 8 : 4;

/** Vectors of columns that a tile of `Rows` rows takes at once. Few rows take more, to hide the latency of their sums. */
template <int Rows>
inline constexpr int tile_columns = Rows * 4 <= 2 * tile_rows ? 4 : 2;

/** Runs body<Size>(i) over [i, count) in steps of Size, then of half of it, and so on down to 1. */
template <int Size, class Body>
inline void for_each_tile(int64_t i, int64_t count, const Body& body) {
  for (; i + Size <= count; i += Size) body.template operator()<Size>(i);
  if constexpr (Size > 1) for_each_tile<Size / 2>(i, count, body);
}

/**
 * sums[r] += sum_s weights[r * row_step + s * step] * x[s] over s in [0, count), in order, for rows x[s] that begin `x_step`
 * floats apart: the inner loop of all products of attention.
 */
template <int Rows, int Columns>
[[gnu::always_inline]] inline void accumulate(Vec (&sums)[Rows][Columns], const float* weights, int64_t row_step, int64_t step,
                                              const float* x, int64_t x_step, int64_t count) {
  for (int64_t s = 0; s < count; ++s) {
    Vec columns[Columns];
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) columns[c] = load(x + s * x_step + c * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const Vec weight = broadcast(weights[r * row_step + s * step]);
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c) sums[r][c] = fma(weight, columns[c], sums[r][c]);
    }
  }
}

/**
 * scores[r][s] = q[r] . k[s] for the first `keys` keys of a block and those behind them up to a whole vector, whose scores
 * mean nothing.
 *
 * @param q       rows of D, q_step floats apart
 * @param keys_t  (D, block_keys)
 * @param scores  rows score_step floats apart
 */
template <int Rows>
inline void score_block(const float* q, int64_t q_step, const float* keys_t, int64_t head_size, int64_t keys, float* scores,
                        int64_t score_step) {
  for_each_tile<tile_columns<Rows>>(0, (keys + lanes - 1) / lanes, [&]<int Columns>(int64_t v) {
    Vec sums[Rows][Columns] = {};
    accumulate(sums, q, q_step, 1, keys_t + v * lanes, block_keys, head_size);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c) store(scores + r * score_step + (v + c) * lanes, sums[r][c]);
  });
}

/** x with minus infinity in the lanes from `count` on. */
inline Vec first_lanes(Vec x, int64_t count) {
  Vec numbers;
  for (int i = 0; i < lanes; ++i) numbers[i] = static_cast<float>(i);
  return numbers < broadcast(static_cast<float>(count)) ? x : broadcast(minus_infinity);
}

/**
 * 2^x for x <= 0 with relative error below 1 ulp; 1 for 0, 0 below -126 (results are never subnormal), NaN for NaN. Above 0
 * it is 1. A minimax polynomial of degree 6 on [-1/2, 1/2], and the integer part added to the exponent.
 */
inline Vec exp2_nonpositive(Vec x) {
  const Vec above = broadcast(-126.0f) > x ? broadcast(-126.0f) : x;  // written so that NaN stays NaN
  const Vec clamped = zero() < above ? zero() : above;
  const Vec shifted = clamped + broadcast(12582912.0f);  // 1.5 * 2^23: the low bits are the nearest integer
  const Vec r = clamped - (shifted - broadcast(12582912.0f));
  Vec p = broadcast(1.53533618e-4f);
  p = fma(p, r, broadcast(1.33988744e-3f));
  p = fma(p, r, broadcast(9.61843736e-3f));
  p = fma(p, r, broadcast(5.55033247e-2f));
  p = fma(p, r, broadcast(2.40226479e-1f));
  p = fma(p, r, broadcast(6.93147203e-1f));
  p = fma(p, r, broadcast(1.0f));
  const Vec result = (Vec)((IntVec)p + ((IntVec)shifted << 23));
  return x < broadcast(-126.0f) ? zero() : result;
}

/** Rows of one head, each `step` floats behind the one before it. */
template <class T>
struct Rowwise {
  T* first;
  int64_t step;
};

/** What a tile of query rows of one head reads and writes. */
struct QueryTile {
  Rowwise<const float> q;
  Rowwise<float> out;
  /** `first` may be null. */
  Rowwise<float> log_sum_exp;
};

/** Keys transposed, (D, block_keys), and values, (block_keys, padded D), of one block of positions. */
struct KeyValueBlock {
  const float* keys;
  const float* values;
};

/**
 * Keys whose scores are held at once. Within a span the softmax has one maximum, and the sums of weighted values stay in
 * registers; from span to span maximum and sums are carried on (online softmax).
 */
inline constexpr int64_t span_keys = 4 * block_keys;

/**
 * Attention of `Rows` query rows of one head.
 *
 * @param visible  row r sees the keys [0, visible[r]), at least one
 * @param block    block(i): the keys and values of positions [i * block_keys, (i + 1) * block_keys)
 * @param scale    > 0
 */
template <int Rows, class Block>
inline void attend_rows(const QueryTile& tile, const int64_t* visible, const Block& block, int64_t head_size, float scale) {
  // One line more, so that the rows do not meet in few sets of the cache.
  constexpr int64_t score_step = span_keys + 16;
  const int64_t width = padded_head_size(head_size);
  alignas(64) float scores[Rows * score_step];
  alignas(64) float sums[Rows][max_padded_head_size];
  Vec total[Rows];
  float maximum[Rows], correction[Rows];
  int64_t most = 0;
  for (int r = 0; r < Rows; ++r) {
    maximum[r] = minus_infinity;
    total[r] = zero();
    most = max(most, visible[r]);
  }
  const float exponent_scale = scale * log2_e;
  for (int64_t first = 0; first < most; first += span_keys) {
    const int64_t keys = min(span_keys, most - first);
    for (int64_t at = 0; at < keys; at += block_keys)
      score_block<Rows>(tile.q.first, tile.q.step, block((first + at) / block_keys).keys, head_size, min(block_keys, keys - at),
                        scores + at, score_step);
    for (int r = 0; r < Rows; ++r) {
      float* row = scores + r * score_step;
      const int64_t seen = min(keys, max(0, visible[r] - first)), end = (keys + lanes - 1) / lanes * lanes;
      const int64_t partial = seen / lanes * lanes;
      if (partial < seen) store(row + partial, first_lanes(load(row + partial), seen - partial));
      Vec highest = broadcast(minus_infinity);
      for (int64_t s = 0; s < seen; s += lanes) highest = max(highest, load(row + s));
      const float next = max(maximum[r], max_lanes(highest));
      correction[r] = first == 0 ? 0.0f : exp2_nonpositive(broadcast((maximum[r] - next) * exponent_scale))[0];
      maximum[r] = next;
      Vec sum = total[r] * broadcast(correction[r]);
      int64_t s = 0;
      for (; s < seen; s += lanes) {
        const Vec weight = exp2_nonpositive((load(row + s) - broadcast(next)) * broadcast(exponent_scale));
        store(row + s, weight);
        sum = sum + weight;
      }
      for (; s < end; s += lanes) store(row + s, zero());
      total[r] = sum;
    }
    for_each_tile<tile_columns<Rows>>(0, width / lanes, [&]<int Columns>(int64_t v) {
      Vec x[Rows][Columns] = {};
      if (first > 0)
        for (int r = 0; r < Rows; ++r)
          for (int c = 0; c < Columns; ++c) x[r][c] = load(sums[r] + (v + c) * lanes) * broadcast(correction[r]);
      for (int64_t at = 0; at < keys; at += block_keys)
        accumulate(x, scores + at, score_step, 1, block((first + at) / block_keys).values + v * lanes, width,
                   min(block_keys, keys - at));
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < Columns; ++c) store(sums[r] + (v + c) * lanes, x[r][c]);
    });
  }
  for (int r = 0; r < Rows; ++r) {
    const float sum = sum_lanes(total[r]);
    const Vec inverse = broadcast(1.0f / sum);
    for_vectors(head_size, [&](int64_t c, auto n) {
      store(tile.out.first + r * tile.out.step + c, load(sums[r] + c) * inverse, n);
    });
    if (tile.log_sum_exp.first)
      tile.log_sum_exp.first[r * tile.log_sum_exp.step] = maximum[r] * scale + std::log(sum);
  }
}

}  // namespace sightline::SIGHTLINE_ISA
