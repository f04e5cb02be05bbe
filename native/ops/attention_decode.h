#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/mirrored.h"
#include "ops/attention.h"

namespace sightline {

/**
 * A page of the KV cache holds `attention_block` tokens of every layer. Within a page a layer has, per key head, the keys
 * transposed, (D, attention_block), then per value head the values, (attention_block, padded D). A head's rows of V are
 * padded to a multiple of 16 so that vectors never straddle two tokens. Elements are stored as those of qkv.
 * CUDA keeps rows as they are: per key head (attention_block, D) keys, then per key head as many values. Pages are aligned to
 * 16 bytes there.
 */
constexpr int64_t padded_head_size(int64_t head_size) { return (head_size + 15) / 16 * 16; }
/** Elements of a layer in a page. */
constexpr int64_t page_layer_size(int64_t kv_heads, int64_t head_size) {
  return kv_heads * attention_block * (head_size + padded_head_size(head_size));
}

/**
 * Attention of one new token per sequence over that sequence's pages; bit for bit what `attention` computes for the row.
 *
 * @param qkv      (B, (H + 2 G) * D) of the new tokens; only the query heads are read
 * @param pages    (B, max_pages) page of each block of positions; entries behind the last block are unused
 * @param layer_offset  elements from the start of a page to the layer's part
 * @param lengths  (B) keys that the row sees, its own (already written) included; 0 for a row that only pads the batch: its
 *                 pages are not read, and its part of out is zero
 * @param out      (B, H * D) written
 * Types: one for qkv, the pages and out; in bf16 D is even.
 * @throws invalid_argument otherwise
 */
struct AttentionDecodeArgs {
  ConstElements qkv;
  Mirrored<const void*> pages;
  Mirrored<int32_t> lengths;
  Elements out;
  int64_t rows, max_pages, layer_offset, heads, kv_heads, head_size;
  float scale;
  SIGHTLINE_FIELDS(qkv, pages, lengths, out, rows, max_pages, layer_offset, heads, kv_heads, head_size, scale)
};

/**
 * Writes the keys and values of N rows into their pages, which store elements as qkv does.
 *
 * @param qkv    (N, (H + 2 G) * D), keys already rotated
 * @param pages  (N) page of each row; null for a row that only pads the batch and is not written
 * @param slots  (N) position within the page, in [0, attention_block)
 */
struct KvWriteArgs {
  ConstElements qkv;
  Mirrored<void*> pages;
  Mirrored<int32_t> slots;
  int64_t rows, layer_offset, heads, kv_heads, head_size;
  SIGHTLINE_FIELDS(qkv, pages, slots, rows, layer_offset, heads, kv_heads, head_size)
};

}  // namespace sightline
