#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/isa.h"
#include "core/precision.h"

namespace sightline {

/**
 * C[m, n] = alpha * sum_k A[m, k] * B[k, n] + bias[n] + addend[m, n]   (or added to what C holds)
 *
 * A, B, C and the addend may each be stored as fp32 or bf16.
 *
 * @param a, a_row_stride, a_column_stride  A[m, k] = a[m * a_row_stride + k * a_column_stride]; one stride is 1
 * @param b, b_row_stride, b_column_stride  B[k, n] likewise; unused when packed_b is given
 * @param packed_b   B as `pack_matrix` laid it out at the same precision, or null
 * @param c          (M, N) written, rows c_row_stride apart; must not overlap A or B
 * @param bias       (N) or null
 * @param addend     (M, N), rows addend_row_stride apart, or null; may be C itself
 * @param accumulate adds to C instead of overwriting; bias and addend must then be null
 * @param precision  bf16 rounds the elements of A and B, to nearest even, before they are multiplied; what is stored so already
 *                   is copied as it lies
 * Numerics: products are summed in fp32 whatever the precision, each element of C in one register in order of k (bf16: two
 * neighbouring k per step, the second first), in blocks of `matmul_depth_block` words whose partial sums are added in order.
 * The order does not depend on M, N, the thread count, packing, or how anything is stored, so row m of C is the same bits in any
 * batch, and a C stored as bf16 is the fp32 C rounded once. With bf16 the path avx512_bf16 takes the CPU's instructions, which
 * treat subnormal operands and sums as zero.
 */
struct MatmulArgs {
  ConstElements a;
  int64_t a_row_stride, a_column_stride;
  ConstElements b;
  int64_t b_row_stride, b_column_stride;
  const void* packed_b;
  Elements c;
  int64_t c_row_stride;
  const float* bias;
  ConstElements addend;
  int64_t addend_row_stride;
  int64_t m, n, k;
  float alpha;
  bool accumulate;
  Precision precision;
  SIGHTLINE_FIELDS(a, a_row_stride, a_column_stride, b, b_row_stride, b_column_stride, packed_b, c, c_row_stride, bias,
                   addend, addend_row_stride, m, n, k, alpha, accumulate, precision)
};

/**
 * Lays B (K, N) out as panels of `matmul_panel_width` columns, each panel all k rows one after the other, zero-padded at
 * the right edge: what `matmul` reads best, done once for a weight that many products use. An entry is a 32-bit word, with
 * bf16 two neighbouring k of a column.
 *
 * @param b       as in MatmulArgs, stored as fp32 or bf16
 * @param packed  matmul_packed_size(isa, precision, k, n) words, written
 */
struct PackMatrixArgs {
  ConstElements b;
  int64_t b_row_stride, b_column_stride;
  void* packed;
  int64_t k, n;
  Precision precision;
  SIGHTLINE_FIELDS(b, b_row_stride, b_column_stride, packed, k, n, precision)
};

/** In words: 512 fp32 or 1024 bf16 elements. */
inline constexpr int64_t matmul_depth_block = 512;

constexpr int64_t matmul_panel_width(Isa isa) { return isa == Isa::avx512 || isa == Isa::avx512_bf16 ? 32 : 16; }

constexpr int64_t matmul_packed_size(Isa isa, Precision precision, int64_t k, int64_t n) {
  const int64_t width = matmul_panel_width(isa), per_word = elements_per_word(precision);
  return (n + width - 1) / width * width * ((k + per_word - 1) / per_word);
}

}  // namespace sightline
