#pragma once

// The arithmetic that the attention ops share: a tile of query rows against blocks of keys. Each row is computed by the same
// operations in the same order whatever tile it is in, which is what makes decoding and training agree to the bit.
// Included by op sources only.

#include <cmath>
#include <type_traits>

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

/** Makes the compiler load v once, where it would rather read memory again for every use. */
inline void keep_in_register([[maybe_unused]] Vec& v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#endif
}

/**
 * Whether products of two things stored as T, along D, are sums over pairs of elements, which the path has an instruction
 * for. What is multiplied is words of two elements then, and there are half as many.
 */
template <class T>
inline constexpr bool in_pairs = std::is_same_v<T, bf16> && this_isa == Isa::avx512_bf16;
template <class T>
constexpr int64_t product_depth(int64_t head_size) {
  return in_pairs<T> ? head_size / 2 : head_size;
}

/** Whether the rows of a tile multiply the same matrix, or row r the one that begins r * `apart` elements behind the first. */
struct Shared {
  static constexpr int64_t apart = 0;
};
struct Apart {
  int64_t apart;
};

/** What `accumulate` multiplies by: rows of elements, `step` apart. */
template <class T, class Sharing = Shared>
struct Elementwise {
  const T* first;
  int64_t step;
  Sharing matrices{};
  static constexpr bool shared = std::is_same_v<Sharing, Shared>;

  Elementwise behind(int64_t elements) const { return {first + elements, step, matrices}; }
  Vec vector(int r, int64_t s, int c) const { return load(first + r * matrices.apart + s * step + c * lanes); }
  static Vec add_product(const float* weight, Vec x, Vec sum) { return fma(broadcast(*weight), x, sum); }
};

/** The same, of words that are pairs of bf16. */
struct Pairwise : Elementwise<float> {
  Pairwise behind(int64_t words) const { return {{first + words, step}}; }
  static Vec add_product(const float* weight, Vec x, Vec sum) { return add_pair_products(broadcast_word(weight), x, sum); }
};

/** The same, of words whose elements are one below the other, as in the pages of the KV cache: row s pairs rows 2 s, 2 s + 1. */
template <class Sharing>
struct Interleaved : Elementwise<bf16, Sharing> {
  Interleaved behind(int64_t elements) const { return {{this->first + elements, this->step, this->matrices}}; }
  Vec vector(int r, int64_t s, int c) const {
    const bf16* from = this->first + r * this->matrices.apart + 2 * s * this->step + c * lanes;
    return interleaved_pairs(from, from + this->step);
  }
  static Vec add_product(const float* weight, Vec x, Vec sum) { return Pairwise::add_product(weight, x, sum); }
};

/**
 * sums[r] += sum_s weights[r * row_step + s * step] * x[s] over s in [0, count), in order: the inner loop of all products of
 * attention.
 */
template <int Rows, int Columns, class Matrix>
[[gnu::always_inline]] inline void accumulate(Vec (&sums)[Rows][Columns], const float* weights, int64_t row_step, int64_t step,
                                              const Matrix& x, int64_t count) {
  for (int64_t s = 0; s < count; ++s) {
    Vec columns[Columns];
    const auto fetch = [&](int r) {
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c) columns[c] = x.vector(r, s, c);
    };
    if constexpr (Matrix::shared) fetch(0);
    if constexpr (Matrix::shared && Columns > 2)
      for (Vec& column : columns) keep_in_register(column);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      if constexpr (!Matrix::shared) fetch(r);
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c)
        sums[r][c] = Matrix::add_product(weights + r * row_step + s * step, columns[c], sums[r][c]);
    }
  }
}

/**
 * scores[r][s] = finish(q[r] . k[s]) for the first `keys` keys of a block and those behind them up to a whole vector, whose
 * scores mean nothing.
 *
 * @param q       rows of `depth` elements or words, q_step apart
 * @param keys_t  (depth, block_keys)
 * @param scores  rows score_step floats apart
 */
template <int Rows, class Matrix, class Finish>
inline void score_block(const float* q, int64_t q_step, const Matrix& keys_t, int64_t depth, int64_t keys, float* scores,
                        int64_t score_step, const Finish& finish) {
  for_each_tile<tile_columns<Rows>>(0, (keys + lanes - 1) / lanes, [&]<int Columns>(int64_t v) {
    Vec sums[Rows][Columns] = {};
    accumulate(sums, q, q_step, 1, keys_t.behind(v * lanes), depth);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c) store(scores + r * score_step + (v + c) * lanes, finish(sums[r][c]));
  });
}

/** x with minus infinity in the lanes from `count` on. */
inline Vec first_lanes(Vec x, int64_t count) {
  Vec numbers;
  for (int i = 0; i < lanes; ++i) numbers[i] = static_cast<float>(i);
  return numbers < broadcast(static_cast<float>(count)) ? x : broadcast(minus_infinity);
}

/**
 * 2^x for x <= 0 with relative error below 1 ulp; 1 for 0, 0 below -126 (results are never subnormal), NaN for NaN. A minimax
 * polynomial of degree 6 on [-1/2, 1/2], and the integer part added to the exponent.
 */
inline Vec exp2_nonpositive(Vec x) {
  const Vec shifted = x + broadcast(12582912.0f);  // 1.5 * 2^23: the low bits are the nearest integer
  const Vec r = x - (shifted - broadcast(12582912.0f));
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

/** Rows of D, each `step` floats behind the one before it. */
template <class T>
struct Rowwise {
  T* first;
  int64_t step;
};

/** What a tile of query rows reads and writes, stored as T. */
template <class T>
struct QueryTile {
  Rowwise<const T> q;
  Rowwise<T> out;
  /** `first` may be null. */
  Rowwise<float> log_sum_exp;
};

/** Keys transposed, (depth, block_keys), and values, (block_keys, padded D), of one block of positions. */
template <class Keys, class Values>
struct KeyValueBlock {
  Keys keys;
  Values values;
};

/**
 * Keys whose scores are held at once. Within a span the softmax has one maximum, and the sums of weighted values stay in
 * registers; from span to span maximum and sums are carried on (online softmax).
 */
inline constexpr int64_t span_keys = 4 * block_keys;

/** The softmax of one row of scores in units of log 2, of which one span after the other becomes known. */
struct OnlineSoftmax {
  float maximum = minus_infinity;
  /** The weights so far, relative to the maximum, summed lane by lane. */
  Vec total = zero();

  float sum() const { return sum_lanes(total); }

  /**
   * Turns the next scores into weights relative to the maximum so far.
   * @param seen  scores that count; the weights of the others up to `end`, a multiple of `lanes`, become zero
   * @return what sums made with earlier weights are to be multiplied by
   */
  float add(float* scores, int64_t seen, int64_t end) {
    const int64_t partial = seen / lanes * lanes;
    if (partial < seen) store(scores + partial, first_lanes(load(scores + partial), seen - partial));
    Vec highest = broadcast(minus_infinity);
    for (int64_t s = 0; s < seen; s += lanes) highest = max(highest, load(scores + s));
    const float next = max(maximum, max_lanes(highest));
    const float correction = maximum == minus_infinity ? 0.0f : exp2_nonpositive(broadcast(maximum - next))[0];
    maximum = next;
    Vec weights = total * broadcast(correction);
    int64_t s = 0;
    for (; s < seen; s += lanes) {
      const Vec weight = exp2_nonpositive(load(scores + s) - broadcast(next));
      store(scores + s, weight);
      weights = weights + weight;
    }
    for (; s < end; s += lanes) store(scores + s, zero());
    total = weights;
    return correction;
  }
};

/**
 * Attention of `Rows` query rows. Scores are in units of log 2: multiplied by scale * log2(e), on the side of q where that is
 * not part of a pair.
 *
 * @param visible  row r sees the keys [0, visible[r]), at least one
 * @param block    block(i): the KeyValueBlock of positions [i * block_keys, (i + 1) * block_keys)
 * @param scale    > 0
 */
template <int Rows, class T, class Block>
inline void attend_rows(const QueryTile<T>& tile, const int64_t* visible, const Block& block, int64_t head_size, float scale) {
  // A line more than the rows need, so that they do not meet in few sets of the cache.
  constexpr int64_t q_step = max_padded_head_size + 16, score_step = span_keys + 16;
  const int64_t width = padded_head_size(head_size);
  const Vec unit = broadcast(scale * log2_e);
  const auto finish = [&](Vec score) { return in_pairs<T> ? score * unit : score; };
  alignas(64) float q[Rows * q_step], sums[Rows * q_step], scores[Rows * score_step];
  OnlineSoftmax softmax[Rows];
  int64_t most = 0;
  for (int r = 0; r < Rows; ++r) {
    const T* row = tile.q.first + r * tile.q.step;
    if constexpr (in_pairs<T>)
      std::memcpy(q + r * q_step, row, static_cast<size_t>(head_size) * sizeof(T));
    else
      for_vectors(head_size, [&](int64_t c, auto n) { store(q + r * q_step + c, load(row + c, n) * unit); });
    most = max(most, visible[r]);
  }
  for (int64_t first = 0; first < most; first += span_keys) {
    const int64_t keys = min(span_keys, most - first), end = (keys + lanes - 1) / lanes * lanes;
    const bool last = first + keys == most;
    for (int64_t at = 0; at < keys; at += block_keys)
      score_block<Rows>(q, q_step, block((first + at) / block_keys).keys, product_depth<T>(head_size),
                        min(block_keys, keys - at), scores + at, score_step, finish);
    float correction[Rows], factor[Rows];
    for (int r = 0; r < Rows; ++r) {
      correction[r] = softmax[r].add(scores + r * score_step, min(keys, max(0, visible[r] - first)), end);
      factor[r] = last ? 1.0f / softmax[r].sum() : 1.0f;
    }
    for_each_tile<tile_columns<Rows>>(0, width / lanes, [&]<int Columns>(int64_t v) {
      Vec x[Rows][Columns] = {};
      if (first > 0)
        for (int r = 0; r < Rows; ++r)
          for (int c = 0; c < Columns; ++c) x[r][c] = load(sums + r * q_step + (v + c) * lanes) * broadcast(correction[r]);
      for (int64_t at = 0; at < keys; at += block_keys)
        accumulate(x, scores + at, score_step, 1, block((first + at) / block_keys).values.behind(v * lanes),
                   min(block_keys, keys - at));
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < Columns; ++c) store(sums + r * q_step + (v + c) * lanes, x[r][c] * broadcast(factor[r]));
    });
  }
  for (int r = 0; r < Rows; ++r) {
    for_vectors(head_size, [&](int64_t c, auto n) {
      store(tile.out.first + r * tile.out.step + c, load(sums + r * q_step + c), n);
    });
    if (tile.log_sum_exp.first)
      tile.log_sum_exp.first[r * tile.log_sum_exp.step] = softmax[r].maximum / log2_e + std::log(softmax[r].sum());
  }
}

}  // namespace sightline::SIGHTLINE_ISA
