#include "ops/op_products.h"

namespace sightline {
namespace {

/** A and B; a matrix's rows are contiguous, or, of a transposed one, its columns. */
struct Operands {
  ConstElements a;
  int64_t a_row_stride, a_column_stride;
  ConstElements b;
  int64_t b_row_stride, b_column_stride;
  const void* packed_b;
};

/** C (m, n), dense, is written, or added to. */
MatmulArgs product(const Operands& operands, Elements c, int64_t m, int64_t n, int64_t k, bool accumulate, Precision precision) {
  return {.a = operands.a,
          .a_row_stride = operands.a_row_stride,
          .a_column_stride = operands.a_column_stride,
          .b = operands.b,
          .b_row_stride = operands.b_row_stride,
          .b_column_stride = operands.b_column_stride,
          .packed_b = operands.packed_b,
          .c = c,
          .c_row_stride = n,
          .bias = nullptr,
          .addend = nullptr,
          .addend_row_stride = 0,
          .m = m,
          .n = n,
          .k = k,
          .alpha = 1.0f,
          .accumulate = accumulate,
          .precision = precision};
}

template <class Args>
MatmulArgs logits_of(const Args& a, int64_t first, int64_t rows, float* logits) {
  return product({a.x.at(first * a.columns), a.columns, 1, a.weight, 1, a.columns, a.packed_weight}, logits, rows, a.vocabulary,
                 a.columns, false, a.precision);
}

template <class Args>
int64_t elements_of_patch(const Args& a) {
  return a.channels * a.patch_size * a.patch_size;
}

}  // namespace

MatmulArgs logits_product(const LinearLogProbArgs& args, int64_t first, int64_t rows, float* logits) {
  return logits_of(args, first, rows, logits);
}

MatmulArgs logits_product(const LinearLogProbBackwardArgs& args, int64_t first, int64_t rows, float* logits) {
  return logits_of(args, first, rows, logits);
}

MatmulArgs dx_product(const LinearLogProbBackwardArgs& a, int64_t first, int64_t rows, ConstElements dlogits) {
  return product({dlogits, a.vocabulary, 1, a.weight, a.columns, 1, a.packed_transposed}, a.dx.at(first * a.columns), rows, a.columns,
                 a.vocabulary, false, a.precision);
}

MatmulArgs dweight_product(const LinearLogProbBackwardArgs& a, int64_t first, int64_t rows, ConstElements dlogits) {
  return product({dlogits, 1, a.vocabulary, a.x.at(first * a.columns), a.columns, 1, nullptr}, a.dweight, a.vocabulary, a.columns, rows,
                 true, a.precision);
}

MatmulArgs patches_product(const PatchEmbedArgs& a, int64_t first, int64_t rows, ConstElements patches) {
  const int64_t elements = elements_of_patch(a);
  return product({patches, elements, 1, a.weight, 1, elements, nullptr}, a.y + first * a.columns, rows, a.columns, elements, true,
                 a.precision);
}

MatmulArgs dweight_product(const PatchEmbedBackwardArgs& a, int64_t first, int64_t rows, ConstElements patches) {
  const int64_t elements = elements_of_patch(a);
  return product({a.dy + first * a.columns, 1, a.columns, patches, elements, 1, nullptr}, a.dweight, a.columns, elements, rows, true,
                 a.precision);
}

}  // namespace sightline
