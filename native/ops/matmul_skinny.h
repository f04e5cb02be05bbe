#pragma once

#include "ops/matmul.h"

namespace sightline::cuda {

class CudaContext;

/** Rows of A at most: one tile of the tensor cores. */
inline constexpr int64_t skinny_rows = 16;

/**
 * Whether `matmul_skinny` can take the product: at most `skinny_rows` rows, as in decoding, bf16 precision, B the transpose of a bf16
 * weight (N, K) as it is stored, K a multiple of 32, N of 8, and every row of A, of the weight, of C, bias and addend aligned to 16
 * bytes (C and addend in bf16: 8).
 */
bool matmul_skinny_fits(const MatmulArgs& args);

/**
 * `matmul` where `matmul_skinny_fits`: bound by reading B once. Row m of C is the same bits whatever the other rows and their
 * number; the order of a sum is a function of K alone.
 */
void matmul_skinny(CudaContext& context, const MatmulArgs& args);

}  // namespace sightline::cuda
