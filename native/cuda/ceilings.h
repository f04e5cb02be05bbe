#pragma once

#include <cstddef>

#include "cuda/cuda_context.h"

namespace sightline::cuda {

// Kernels that do one thing only, as fast as a GPU does it: what other kernels are held against. Each launcher enqueues one
// launch on the context's stream.

/** What a block of the copying and the reading kernel takes at a time. */
inline constexpr size_t ceiling_tile_bytes = size_t{256} * 4 * 16;
/** Multiply-adds that `ceiling_fp32` runs are this times `rounds`. */
int64_t ceiling_fp32_multiply_adds(const CudaContext& context);
/** Floats that `ceiling_read` and `ceiling_fp32` write: one per thread. */
int64_t ceiling_sums(const CudaContext& context);

/** Copies `bytes`, a multiple of `ceiling_tile_bytes`; both addresses are multiples of 16. */
void ceiling_copy(CudaContext& context, const void* from, void* to, size_t bytes);

/** Reads `bytes`, as above, of floats. @param sums  of what each thread read, `ceiling_sums` of them */
void ceiling_read(CudaContext& context, const void* from, size_t bytes, float* sums);

/** Independent chains of multiply-adds in registers. @param sums  what the chains end with, `ceiling_sums` of them */
void ceiling_fp32(CudaContext& context, int rounds, float* sums);

}  // namespace sightline::cuda
