#include "ops/cuda_scratch.h"

#include "ops/matmul_route.h"
#include "ops/op_products.h"

namespace sightline::cuda {
namespace {

// An op that is not among these needs none.
template <class Args>
void add(OpScratch&, const Args&) {}

void take(OpScratch& scratch, int64_t count, size_t element_bytes) {
  scratch.blocks.push_back(static_cast<size_t>(count) * element_bytes);
}

// ---- products

/** A product by cuBLASLt. */
void multiply(OpScratch& scratch, const MatmulArgs& a) {
  if (a.m == 0 || a.n == 0 || a.k == 0) return;
  const ProductRoute route = product_route(a);
  if (route.a.copied_bytes > 0) scratch.blocks.push_back(route.a.copied_bytes);
  if (!a.packed_b && route.b.copied_bytes > 0) scratch.blocks.push_back(route.b.copied_bytes);
  if (!route.direct()) scratch.blocks.push_back(route.sum_bytes);
  scratch.multiplies = true;
}

void add(OpScratch& scratch, const MatmulArgs& a) {
  if (!matmul_skinny_fits(a)) multiply(scratch, a);
}

DType operand_type(Precision precision) { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

void add(OpScratch& scratch, const LinearLogProbArgs& a) {
  if (a.rows == 0) return;
  const int64_t chunk = log_prob_rows_at_once(a.rows, a.vocabulary);
  take(scratch, chunk * a.vocabulary, sizeof(float));
  for (int64_t first = 0; first < a.rows; first += chunk)
    multiply(scratch, logits_product(a, first, std::min(chunk, a.rows - first), nullptr));
}

void add(OpScratch& scratch, const LinearLogProbBackwardArgs& a) {
  if (a.rows == 0) return;
  const int64_t chunk = log_prob_rows_at_once(a.rows, a.vocabulary);
  const ConstElements dlogits(nullptr, operand_type(a.precision));
  take(scratch, chunk * a.vocabulary, sizeof(float));
  if (a.precision == Precision::bf16) take(scratch, chunk * a.vocabulary, sizeof(bf16));
  for (int64_t first = 0; first < a.rows; first += chunk) {
    const int64_t rows = std::min(chunk, a.rows - first);
    multiply(scratch, logits_product(a, first, rows, nullptr));
    multiply(scratch, dx_product(a, first, rows, dlogits));
    if (a.dweight) multiply(scratch, dweight_product(a, first, rows, dlogits));
  }
}

/** @param product  the product of a chunk: product(first row, rows, patches) */
template <class Args, class Product>
void add_patches(OpScratch& scratch, const Args& a, const Product& product) {
  const int64_t per_image = a.rows_per_image(), elements = a.channels * a.patch_size * a.patch_size;
  const int64_t chunk = std::min(a.images, patch_images_at_once(per_image * elements));
  const ConstElements patches(nullptr, operand_type(a.precision));
  take(scratch, chunk * per_image * elements, static_cast<size_t>(size_of(patches.type)));
  for (int64_t first = 0; first < a.images; first += chunk)
    multiply(scratch, product(first * per_image, std::min(chunk, a.images - first) * per_image, patches));
}

void add(OpScratch& scratch, const PatchEmbedArgs& a) {
  if (a.images == 0) return;
  add_patches(scratch, a, [&](int64_t first, int64_t rows, ConstElements patches) { return patches_product(a, first, rows, patches); });
}

// ---- sums

/** Partial sums of `count` values per column. */
void add_column_sums(OpScratch& scratch, int64_t count, int64_t rows, int64_t columns) {
  if (rows > 0) take(scratch, count * column_sum_blocks(rows) * columns, sizeof(float));
}

void add(OpScratch& scratch, const SumRowsArgs& a) { add_column_sums(scratch, 1, a.rows, a.columns); }

void add(OpScratch& scratch, const LayerNormBackwardArgs& a) {
  if (a.dweight) add_column_sums(scratch, 2, a.rows, a.columns);
}

void add(OpScratch& scratch, const RmsNormBackwardArgs& a) {
  if (a.dweight) add_column_sums(scratch, 1, a.rows, a.columns);
}

void add(OpScratch& scratch, const PatchEmbedBackwardArgs& a) {
  if (a.images == 0) return;
  add_patches(scratch, a, [&](int64_t first, int64_t rows, ConstElements patches) { return dweight_product(a, first, rows, patches); });
  sum_patch_embed_gradients([&](const SumRowsArgs& sums) { add_column_sums(scratch, 1, sums.rows, sums.columns); }, a);
}

/** The table of the blocks before each tensor. @return all blocks */
int64_t add_tensor_blocks(OpScratch& scratch, const Mirrored<int64_t>& counts, int64_t tensors) {
  int64_t blocks = 0;
  for (int64_t tensor = 0; tensor < tensors; ++tensor) blocks += optimizer_blocks(counts.host[tensor]);
  take(scratch, tensors, sizeof(int64_t));
  return blocks;
}

void add(OpScratch& scratch, const SumSquaresArgs& a) {
  take(scratch, add_tensor_blocks(scratch, a.counts, a.tensors), sizeof(double));
}

void add(OpScratch& scratch, const AdamwArgs& a) { add_tensor_blocks(scratch, a.counts, a.tensors); }

// ---- attention

/** delta and log_sum_exp of every query and head. */
void add(OpScratch& scratch, const AttentionBackwardArgs& a) {
  const int64_t statistics = rows_of_batch(a) * a.heads;
  take(scratch, statistics, sizeof(float));
  take(scratch, statistics, sizeof(float));
}

/** Of every part: maximum and total, and the sums of weighted values. */
void add(OpScratch& scratch, const AttentionDecodeArgs& a) {
  if (!decodes_by_parts(a)) return;
  const int64_t parts = a.rows * a.heads * decode_parts(a.max_pages);
  take(scratch, parts, 2 * sizeof(float));
  take(scratch, parts * a.head_size, sizeof(float));
}

}  // namespace

OpScratch scratch_of_product(const MatmulArgs& args) {
  OpScratch scratch;
  multiply(scratch, args);
  return scratch;
}

bool fits_tiles(int64_t head_size, std::initializer_list<ConstElements> operands) {
  return head_size % 8 == 0 && head_size <= max_tile_head_size && std::all_of(operands.begin(), operands.end(), [](ConstElements x) {
           return x.type == DType::bf16 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
         });
}

bool decodes_by_parts(const AttentionDecodeArgs& args) {
  return fits_tiles(args.head_size, {args.qkv, args.out}) && args.layer_offset % 8 == 0;
}

int64_t rows_of_batch(const AttentionBackwardArgs& args) {
  int64_t rows = 0;
  for (int64_t i = 0; i < args.segment_count; ++i)
    rows = std::max(rows, int64_t{args.segments.host[3 * i]} + args.segments.host[3 * i + 1]);
  return rows;
}

#define SIGHTLINE_SCRATCH(name, Args)  \
  OpScratch scratch_of(const Args& args) { \
    OpScratch scratch;                 \
    add(scratch, args);                \
    return scratch;                    \
  }
SIGHTLINE_OPS(SIGHTLINE_SCRATCH)
#undef SIGHTLINE_SCRATCH

}  // namespace sightline::cuda
