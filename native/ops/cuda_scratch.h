#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "ops/op_list.h"

namespace sightline::cuda {

/**
 * The scratch memory of one call of an op on a GPU, counted from its arguments on the host: what a plan adds to the memory that the
 * engine asks for, and what the launcher must then take, block for block (CudaContext::scratch).
 */
struct OpScratch {
  /** Bytes of each block, in the order in which the launcher takes them. All go back when the call returns. */
  std::vector<size_t> blocks;
  /** Whether cuBLASLt has a part in it, whose workspace stays from the first product on. */
  bool multiplies = false;
};

/** Of a product by cuBLASLt, also where the op `matmul` would take another way. */
OpScratch scratch_of_product(const MatmulArgs& args);

/** What NVIDIA recommends for its newest architecture; older ones need less. */
inline constexpr size_t product_workspace_bytes = size_t{32} << 20;

// OpScratch scratch_of(const Args& args) for the arguments of every op. Reads the small integer arrays among them, never the data.
#define SIGHTLINE_SCRATCH(name, Args) OpScratch scratch_of(const Args& args);
SIGHTLINE_OPS(SIGHTLINE_SCRATCH)
#undef SIGHTLINE_SCRATCH

// ---- how launchers cut their work, as far as scratch memory depends on it ------------------------------------------------

/** Rows whose logits exist at a time: 16 MB of them, which stay in L2, yet enough rows to be worth a pass over the weight. */
constexpr int64_t log_prob_rows_at_once(int64_t rows, int64_t vocabulary) {
  return std::min(rows, std::max(int64_t{128}, (int64_t{1} << 22) / vocabulary));
}

/** Images whose patches exist at a time, 16 or 32 MB: a function of the image alone, so that sums by chunk do not depend on their number. */
constexpr int64_t patch_images_at_once(int64_t elements_per_image) {
  return std::max(int64_t{1}, (int64_t{1} << 23) / elements_per_image);
}

/** Rows that one thread of a sum over rows adds up, in order. Partial sums of such blocks are then added in order of block. */
inline constexpr int64_t rows_per_partial = 64;
constexpr int64_t column_sum_blocks(int64_t rows) { return (rows + rows_per_partial - 1) / rows_per_partial; }

/** Elements of one tensor that one block of the optimizer's kernels has. */
inline constexpr int64_t optimizer_block_elements = 1 << 14;
constexpr int64_t optimizer_blocks(int64_t elements) { return (elements + optimizer_block_elements - 1) / optimizer_block_elements; }

/** Keys of a part of decoding attention: of their positions alone, so that a row's sums do not depend on what else is decoded. */
inline constexpr int decode_part_keys = 2 * attention_block;
constexpr int64_t decode_parts(int64_t max_pages) {
  return (max_pages * attention_block + decode_part_keys - 1) / decode_part_keys;
}

/** Head sizes that tensor-core kernels take: up to this, and multiples of 8, which keep rows aligned to 16 bytes. */
inline constexpr int64_t max_tile_head_size = 128;
/** Whether the tensor-core kernels take these operands: bf16, rows aligned to 16 bytes. */
bool fits_tiles(int64_t head_size, std::initializer_list<ConstElements> operands);
/** Whether decoding attention runs on tensor cores, by parts of the keys. */
bool decodes_by_parts(const AttentionDecodeArgs& args);

/** Rows of a packed batch: where its last segment ends. */
int64_t rows_of_batch(const AttentionBackwardArgs& args);

}  // namespace sightline::cuda
