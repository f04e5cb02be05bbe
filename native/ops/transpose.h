#pragma once

// Transposition in registers. Included by op sources only, each of which is compiled once per path.

#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

/** One step of a transposition: lanes whose number has the bit `Bit` move from x[i] to x[i + Bit], the others back. */
template <int Bit>
[[gnu::always_inline]] inline void swap_lanes(Vec (&x)[lanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) {
    if (i & Bit) continue;
    const Vec a = x[i], b = x[i + Bit];
    [&]<int... I>(std::integer_sequence<int, I...>) {
      x[i] = shuffle<(I & Bit ? lanes + I - Bit : I)...>(a, b);
      x[i + Bit] = shuffle<(I & Bit ? lanes + I : I + Bit)...>(a, b);
    }(std::make_integer_sequence<int, lanes>{});
  }
  if constexpr (Bit > 1) swap_lanes<Bit / 2>(x);
}

inline constexpr int64_t lane_count(Whole) { return lanes; }
inline constexpr int64_t lane_count(Part part) { return part.count; }

/** to[c * to_step + r] = from[r * from_step + c] for r in [0, rows), c in [0, columns). @tparam T  float or bf16 */
template <class T>
inline void transpose(const T* from, int64_t from_step, int64_t rows, int64_t columns, float* to, int64_t to_step) {
  for_vectors(rows, [&](int64_t r, auto row_part) {
    for_vectors(columns, [&](int64_t c, auto column_part) {
      Vec x[lanes];
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i)
        x[i] = i < lane_count(row_part) ? load(from + (r + i) * from_step + c, column_part) : zero();
      swap_lanes<lanes / 2>(x);
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i)
        if (i < lane_count(column_part)) store(to + (c + i) * to_step + r, x[i], row_part);
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
