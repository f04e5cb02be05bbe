#include "ops/matmul_route.h"

#include <algorithm>
#include <bit>

namespace sightline::cuda {
namespace {

constexpr uint32_t product_alignment = 16;

/** Whether `width` neighbours can be accessed at every width-th element of every row. */
bool rows_fit(ConstElements x, int64_t row_stride, int64_t width) {
  return row_stride % width == 0 && reinterpret_cast<uintptr_t>(x.data) % static_cast<uintptr_t>(width * size_of(x.type)) == 0;
}

/** Copies are dense, with lines that begin at multiples of 16 bytes. */
ProductOperand operand(ConstElements x, int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride, DType type) {
  const bool by_rows = column_stride == 1;
  const int64_t lines = by_rows ? rows : columns, length = by_rows ? columns : rows;
  // One line has no stride; what stands there may be less than its length, which cuBLASLt refuses.
  const int64_t stride = std::max(by_rows ? row_stride : column_stride, lines == 1 ? length : 1);
  const int64_t dense = (length + 7) / 8 * 8;
  const bool as_it_lies = x.type == type && alignment_of(x.data) >= product_alignment;
  return {.from = x,
          .type = type,
          .by_rows = by_rows,
          .lines = lines,
          .length = length,
          .stride = stride,
          .copied_bytes = as_it_lies ? 0 : static_cast<size_t>(lines * dense * size_of(type)),
          .copied_stride = dense};
}

}  // namespace

uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return address == 0 ? 256 : std::min(256u, 1u << std::min(8, std::countr_zero(address)));
}

bool matmul_skinny_fits(const MatmulArgs& a) {
  return a.precision == Precision::bf16 && a.m <= skinny_rows && a.k % skinny_depth == 0 && a.n % 8 == 0 && a.n < (int64_t{1} << 31) &&
         a.k < (int64_t{1} << 31) && a.a_column_stride == 1 && rows_fit(a.a, a.a_row_stride, 8) && !a.packed_b &&
         a.b.type == DType::bf16 && a.b_row_stride == 1 && rows_fit(a.b, a.b_column_stride, 8) && rows_fit(a.c, a.c_row_stride, 4) &&
         rows_fit(a.bias, 0, 4) && (!a.addend || rows_fit(a.addend, a.addend_row_stride, 4));
}

ProductRoute product_route(const MatmulArgs& args) {
  const DType operands = args.precision == Precision::bf16 ? DType::bf16 : DType::f32;
  const ConstElements addend = args.accumulate ? ConstElements(args.c) : args.addend;
  const bool adds_like_c = !addend || (addend.type == args.c.type && (args.accumulate || args.m == 1 ||
                                                                       args.addend_row_stride == args.c_row_stride));
  // cuBLASLt rounds to bf16 products of bf16 alone, and would want their bias in bf16 too.
  const bool has_result_type = args.c.type == DType::f32 || (operands == DType::bf16 && args.bias == nullptr);
  const bool aligned = std::min({alignment_of(args.c.data), alignment_of(addend.data), alignment_of(args.bias)}) >= product_alignment;
  const bool direct = adds_like_c && has_result_type && aligned;
  return {.operands = operands,
          .a = operand(args.a, args.m, args.k, args.a_row_stride, args.a_column_stride, operands),
          .b = operand(args.b, args.k, args.n, args.b_row_stride, args.b_column_stride, operands),
          .sum_bytes = direct ? 0 : static_cast<size_t>(args.m * args.n) * sizeof(float)};
}

}  // namespace sightline::cuda
