#include "ops/attention.h"

#include "ops/attention_segments.h"
#include "ops/op_table.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

/** Queries that stay in one task when a family is shared out. */
constexpr int64_t chunk_rows = 64;

template <class T>
void attend(CpuContext& context, const AttentionArgs& args) {
  const int64_t d = args.head_size, width = padded_head_size(d), depth = product_depth<T>(d), group = args.heads / args.kv_heads;
  const int64_t row_stride = (args.heads + 2 * args.kv_heads) * d;
  for_each_family(context, args, true, [&](const FamilyTask& task) {
    const int64_t positions = task.family.positions();
    float* keys = context.thread_scratch(task.thread, positions * (depth + width));
    float* values = keys + positions * depth;
    const auto block = [&](int64_t i) {
      return KeyValueBlock{transposed_block<T>(keys, i, d), Elementwise<float>{values + i * block_keys * width, width}};
    };
    int64_t chunk = 0;
    for (int64_t i = task.family.root; i < task.family.end; ++i) {
      const Segment s = task.family.at(i);
      // The keys of the root stay where they are; those of the segment before this one are overwritten.
      const T* key = args.qkv.as<T>() + s.first * row_stride + (args.heads + task.kv_head) * d;
      put_transposed(keys, s.before, s.length, d, key, row_stride);
      put_padded(values + s.before * width, s.length, d, key + args.kv_heads * d, row_stride);
      for (int64_t begin = s.first_query; begin < s.length; begin += chunk_rows) {
        if (chunk++ % task.parts != task.part) continue;
        for (int64_t h = task.kv_head * group; h < (task.kv_head + 1) * group; ++h)
          for_each_tile<tile_rows>(begin, min(s.length, begin + chunk_rows), [&]<int Rows>(int64_t t) {
            const int64_t row = s.first + t;
            int64_t visible[Rows];
            for (int r = 0; r < Rows; ++r) visible[r] = s.visible(t + r, args.causal);
            attend_rows<Rows, T>({{args.qkv.as<T>() + row * row_stride + h * d, row_stride},
                                  {args.out.as<T>() + (row * args.heads + h) * d, args.heads * d},
                                  {args.log_sum_exp + row * args.heads + h, args.heads}},
                                 visible, block, d, args.scale);
          });
      }
    }
  });
}

}  // namespace

void attention(CpuContext& context, const AttentionArgs& args) {
  require_one_type("attention", "qkv and out", {args.qkv.type, args.out.type});
  require_pairs("attention.head_size", args.qkv.type, args.head_size);
  with_type(args.qkv.type, [&]<class T>(T) { attend<T>(context, args); });
}

}  // namespace sightline::SIGHTLINE_ISA
