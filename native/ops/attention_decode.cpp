#include "ops/attention_decode.h"

#include "ops/attention_tile.h"
#include "ops/op_table.h"

namespace sightline::SIGHTLINE_ISA {

void attention_decode(ExecutionContext& context, const AttentionDecodeArgs& args) {
  const int64_t d = args.head_size, group = args.heads / args.kv_heads;
  const int64_t row_stride = (args.heads + 2 * args.kv_heads) * d;
  const int64_t keys_size = args.kv_heads * attention_block * d;
  const auto task = [&](int64_t index, int) {
    const int64_t row = index / args.kv_heads, kv_head = index % args.kv_heads;
    const float* const* pages = args.pages + row * args.max_pages;
    const auto block = [&](int64_t i) {
      const float* layer = pages[i] + args.layer_offset;
      return KeyValueBlock{layer + kv_head * attention_block * d,
                           layer + keys_size + kv_head * attention_block * padded_head_size(d)};
    };
    for_each_tile<4>(kv_head * group, (kv_head + 1) * group, [&]<int Rows>(int64_t h) {
      int64_t visible[Rows];
      for (int r = 0; r < Rows; ++r) visible[r] = args.lengths[row];
      attend_rows<Rows>({{args.qkv + row * row_stride + h * d, d}, {args.out + (row * args.heads + h) * d, d}, {nullptr, 0}},
                        visible, block, d, args.scale);
    });
  };
  context.pool().parallel_for(args.rows * args.kv_heads, task);
}

void kv_write(ExecutionContext& context, const KvWriteArgs& args) {
  const int64_t d = args.head_size, width = padded_head_size(d);
  const int64_t row_stride = (args.heads + 2 * args.kv_heads) * d;
  constexpr int64_t rows_per_task = 16;
  context.pool().parallel_for((args.rows + rows_per_task - 1) / rows_per_task, [&](int64_t task, int) {
    for (int64_t row = task * rows_per_task; row < min(args.rows, (task + 1) * rows_per_task); ++row) {
      const float* keys = args.qkv + row * row_stride + args.heads * d;
      const float* values = keys + args.kv_heads * d;
      float* layer = args.pages[row] + args.layer_offset;
      float* value_pages = layer + args.kv_heads * attention_block * d;
      const int64_t slot = args.slots[row];
      for (int64_t h = 0; h < args.kv_heads; ++h) {
        for (int64_t c = 0; c < d; ++c) layer[(h * d + c) * attention_block + slot] = keys[h * d + c];
        float* value = value_pages + (h * attention_block + slot) * width;
        for (int64_t c = 0; c < d; ++c) value[c] = values[h * d + c];
        for (int64_t c = d; c < width; ++c) value[c] = 0.0f;
      }
    }
  });
}

}  // namespace sightline::SIGHTLINE_ISA
