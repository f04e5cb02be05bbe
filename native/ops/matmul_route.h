#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/matmul.h"

namespace sightline::cuda {

// Which way a product takes on a GPU, decided by sizes, types and alignments alone; on the host, so that scratch memory can be counted
// without a GPU.

/** Rows of A at most that `matmul_skinny` takes, one tile of the tensor cores, and what K must be a multiple of. */
inline constexpr int64_t skinny_rows = 16, skinny_depth = 32;

/**
 * Whether `matmul_skinny` can take the product: at most `skinny_rows` rows, as in decoding, bf16 precision, B the transpose of a bf16
 * weight (N, K) as it is stored, K a multiple of 32, N of 8, and every row of A, of the weight, of C, bias and addend aligned to 16
 * bytes (C and addend in bf16: 8).
 */
bool matmul_skinny_fits(const MatmulArgs& args);

/** What a pointer is a multiple of, in bytes, as far as it matters to cuBLASLt: at most 256. Null is a multiple of everything. */
uint32_t alignment_of(const void* pointer);

/** A factor of a product by cuBLASLt: `lines` of `length` neighbouring elements, `stride` elements apart. */
struct ProductOperand {
  ConstElements from;
  /** What it is multiplied as. */
  DType type;
  /** Whether the lines are the matrix's rows; else its columns. */
  bool by_rows;
  int64_t lines, length, stride;
  /** Bytes of the copy that is multiplied in its place, and elements from line to line of it; 0: it is multiplied as it lies. */
  size_t copied_bytes;
  int64_t copied_stride;
};

/**
 * cuBLASLt multiplies operands of one type, and adds only what has its result's type. It is not documented to take bf16 from addresses
 * that are no multiples of 16 bytes: its default is to assume 256, and what it has for less depends on version and shape. So what
 * lies elsewhere is copied, or finished by a kernel of ours, and no shape fails in the middle of a run.
 */
struct ProductRoute {
  DType operands;
  /** `b` means nothing where the product has packed_b. */
  ProductOperand a, b;
  /** Bytes of the fp32 product that a kernel of ours finishes; 0: cuBLASLt writes C. */
  size_t sum_bytes;

  bool direct() const { return sum_bytes == 0; }
};

/** @param args  with M, N, K > 0 */
ProductRoute product_route(const MatmulArgs& args);

}  // namespace sightline::cuda
