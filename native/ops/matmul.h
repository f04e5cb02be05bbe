#pragma once

#include <cstdint>

#include "core/fields.h"
#include "core/isa.h"

namespace sightline {

/**
 * C[m, n] = alpha * sum_k A[m, k] * B[k, n] + bias[n] + addend[m, n]   (or added to what C holds)
 *
 * @param a, a_row_stride, a_column_stride  A[m, k] = a[m * a_row_stride + k * a_column_stride]; one stride is 1
 * @param b, b_row_stride, b_column_stride  B[k, n] likewise; unused when packed_b is given
 * @param packed_b   B as `pack_matrix` laid it out, or null
 * @param c          (M, N) written, rows c_row_stride apart; must not overlap A or B
 * @param bias       (N) or null
 * @param addend     (M, N), rows addend_row_stride apart, or null; may be C itself
 * @param accumulate adds to C instead of overwriting; bias and addend must then be null
 * Numerics: each element of the sum over k is accumulated in one fp32 register in order of k, in blocks of
 * `matmul_depth_block` whose partial sums are added in order. The order does not depend on M, N, the thread count, or
 * packing, so row m of C is the same bits in any batch.
 */
struct MatmulArgs {
  const float* a;
  int64_t a_row_stride, a_column_stride;
  const float* b;
  int64_t b_row_stride, b_column_stride;
  const float* packed_b;
  float* c;
  int64_t c_row_stride;
  const float* bias;
  const float* addend;
  int64_t addend_row_stride;
  int64_t m, n, k;
  float alpha;
  bool accumulate;
  SIGHTLINE_FIELDS(a, a_row_stride, a_column_stride, b, b_row_stride, b_column_stride, packed_b, c, c_row_stride, bias,
                   addend, addend_row_stride, m, n, k, alpha, accumulate)
};

/**
 * Lays B (K, N) out as panels of `matmul_panel_width` columns, each panel all k rows one after the other, zero-padded at
 * the right edge: what `matmul` reads best, done once for a weight that many products use.
 *
 * @param packed  matmul_packed_size(isa, k, n) floats, written
 */
struct PackMatrixArgs {
  const float* b;
  int64_t b_row_stride, b_column_stride;
  float* packed;
  int64_t k, n;
  SIGHTLINE_FIELDS(b, b_row_stride, b_column_stride, packed, k, n)
};

inline constexpr int64_t matmul_depth_block = 512;

constexpr int64_t matmul_panel_width(Isa isa) { return isa == Isa::avx512 ? 32 : 16; }

constexpr int64_t matmul_packed_size(Isa isa, int64_t k, int64_t n) {
  const int64_t width = matmul_panel_width(isa);
  return (n + width - 1) / width * width * k;
}

}  // namespace sightline
