#pragma once

// How `matmul` lays its operands out: what is stored as fp32 or bf16 becomes 32-bit words of one fp32 or two bf16 elements.
// Included by matmul.cpp only.

#include <type_traits>

#include "core/precision.h"
#include "ops/simd.h"
#include "ops/transpose.h"

namespace sightline::SIGHTLINE_ISA {

/** `depth` neighbouring elements as words; an odd last one is paired with zero. */
template <Precision P, class T>
inline void to_words(const T* x, int64_t depth, float* words) {
  if constexpr (P == Precision::fp32) {
    for_vectors(depth, [&](int64_t i, auto n) { store(words + i, load(x + i, n), n); });
  } else if constexpr (std::is_same_v<T, bf16>) {
    // Two neighbours are a word as they lie there.
    __builtin_memcpy(words, x, static_cast<size_t>(depth / 2) * sizeof(float));
    if (depth % 2 != 0) words[depth / 2] = __builtin_bit_cast(float, uint32_t{x[depth - 1].bits});
  } else {
    int64_t i = 0;
    for (; i + 2 * lanes <= depth; i += 2 * lanes) store(words + i / 2, neighbouring_pairs(load(x + i), load(x + i + lanes)));
    if (i < depth) {
      const int64_t low = min(lanes, depth - i), high = depth - i - low;
      const Vec pairs = neighbouring_pairs(load_partial(x + i, low), load_partial(x + i + low, high));
      store_partial(words + i / 2, pairs, (depth - i + 1) / 2);
    }
  }
}

/** As many words as `depth` elements take. */
template <Precision P>
constexpr int64_t words_of(int64_t depth) {
  return blocks_of(depth, elements_per_word(P));
}

/** Words of neighbouring columns, of what lies in the rows `first` and `second`. */
template <class Lanes>
inline Vec pairs_across(const float* first, const float* second, Lanes n) {
  return interleaved_pairs(load(first, n), load(second, n));
}
template <class Lanes>
inline Vec pairs_across(const bf16* first, const bf16* second, Lanes n) {
  return interleaved_pairs(load_halves(first, n), load_halves(second, n));
}

/**
 * Elements that are neighbours across the panels: word p of element i goes to panel i / Width, entry p * Width + i % Width,
 * zero up to the end of the last panel. One step along the depth reaches all panels before the next does, so that rows of
 * x are read whole.
 *
 * @param x             element i of step p at x[p * depth_stride + i]
 * @param panel_stride  words between panels
 */
template <Precision P, int Width, class T>
void pack_across(const T* x, int64_t depth_stride, int64_t count, int64_t depth, float* to, int64_t panel_stride) {
  // words_at(i, n) are the words of elements i, i + 1, ..., as many as n says.
  const auto step = [&](auto words_at, float* out, auto store_words) {
    for (int64_t i = 0; i < count; i += Width, out += panel_stride)
#pragma GCC unroll 8
      for (int v = 0; v < Width; v += lanes) {
        const int64_t left = count - i - v;
        Vec words = zero();
        if (left >= lanes)
          words = words_at(i + v, Whole{});
        else if (left > 0)
          words = words_at(i + v, Part{left});
        store_words(out + v, words, Width - v);
      }
  };
  // Where Width is no multiple of `lanes`, a store runs over into entries that the next step writes; the last may not.
  const auto running_over = [](float* out, Vec words, int64_t) { store(out, words); };
  const auto exact = [](float* out, Vec words, int64_t room) {
    if (room >= lanes)
      store(out, words);
    else
      store_partial(out, words, room);
  };
  const auto each_step = [&](int64_t elements, auto words_from) {
    int64_t p = 0;
    for (; p + 2 * elements <= depth; p += elements, to += Width) step(words_from(x + p * depth_stride), to, running_over);
    for (; p + elements <= depth; p += elements, to += Width) step(words_from(x + p * depth_stride), to, exact);
    return p;
  };
  if constexpr (P == Precision::fp32) {
    each_step(1, [](const T* first) { return [first](int64_t i, auto n) { return load(first + i, n); }; });
  } else {
    const int64_t paired = each_step(2, [&](const T* first) {
      const T* second = first + depth_stride;
      return [first, second](int64_t i, auto n) { return pairs_across(first + i, second + i, n); };
    });
    const T* last = x + paired * depth_stride;
    const auto alone = [last](int64_t i, auto n) { return interleaved_pairs(load(last + i, n), zero()); };
    if (paired < depth) step(alone, to, exact);
  }
}

/**
 * A block whose elements are neighbours along the depth, transposed into one panel: to[p * Width + i] = word p of row i,
 * x + i * row_stride, zero where i >= rows.
 */
template <Precision P, int Width, class T>
void pack_transposed(const T* x, int64_t row_stride, int64_t rows, int64_t depth, float* to) {
  if (rows < Width) __builtin_memset(to, 0, static_cast<size_t>(words_of<P>(depth) * Width) * sizeof(float));
  if constexpr (P == Precision::fp32 && std::is_same_v<T, float>) {
    transpose(x, row_stride, rows, depth, to, Width);
  } else {
    constexpr int64_t chunk = 128, step = chunk + 16;  // words; no power of two, so that rows stay apart in the cache
    alignas(64) float words[Width * step];
    for (int64_t start = 0; start < words_of<P>(depth); start += chunk) {
      const int64_t first = start * elements_per_word(P);
      const int64_t elements = min(chunk * elements_per_word(P), depth - first);
      for (int64_t i = 0; i < rows; ++i) to_words<P>(x + i * row_stride + first, elements, words + i * step);
      transpose(words, step, rows, words_of<P>(elements), to + start * Width, Width);
    }
  }
}

}  // namespace sightline::SIGHTLINE_ISA
