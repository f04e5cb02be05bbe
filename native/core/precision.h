#pragma once

namespace sightline {

/**
 * fp32: all is fp32. bf16: operands of products, and as stored values between them, their gradients, the KV cache and frozen
 * matrices, are rounded to bfloat16, to nearest even. Sums, the residual stream, norms, trained weights, results: fp32 in both.
 */
enum class Precision { fp32, bf16 };

/** Elements of an operand in one 32-bit word of a packed matrix. */
constexpr int elements_per_word(Precision precision) { return precision == Precision::bf16 ? 2 : 1; }

}  // namespace sightline
