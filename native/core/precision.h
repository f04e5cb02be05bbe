#pragma once

namespace sightline {

/**
 * What the operands of matrix products are rounded to. Sums, and everything that is not a matrix product, are fp32 in both.
 * fp32: not at all. bf16: to the 8 significant bits of bfloat16, to nearest even; an operand keeps the range of fp32.
 */
enum class Precision { fp32, bf16 };

/** Elements of an operand in one 32-bit word of a packed matrix. */
constexpr int elements_per_word(Precision precision) { return precision == Precision::bf16 ? 2 : 1; }

}  // namespace sightline
