#include "ops/attention_decode.h"

#include <cstring>

#include "ops/attention_tile.h"
#include "ops/op_table.h"

namespace sightline::SIGHTLINE_ISA {

namespace {

constexpr int heads_at_once = 4;

/** Elements of keys that are worth waking a thread for. */
constexpr int64_t task_elements = 1 << 13;

/** A head's keys in a page, (D, attention_block). */
template <class T, class Sharing>
auto page_keys(const T* keys, Sharing heads) {
  const Elementwise<T, Sharing> elements{keys, attention_block, heads};
  if constexpr (in_pairs<T>)
    return Interleaved<Sharing>{elements};
  else
    return elements;
}

/** Query heads [first, last) of one row. */
template <class T>
void decode_row(const AttentionDecodeArgs& args, int64_t row, int64_t first, int64_t last) {
  const int64_t d = args.head_size, width = padded_head_size(d), group = args.heads / args.kv_heads;
  const int64_t row_stride = (args.heads + 2 * args.kv_heads) * d;
  if (args.lengths[row] == 0) {
    std::memset(args.out.as<T>() + (row * args.heads + first) * d, 0, static_cast<size_t>((last - first) * d) * sizeof(T));
    return;
  }
  const void* const* pages = args.pages + row * args.max_pages;
  // Heads that share keys, or heads each with their own.
  const auto tile = [&]<int Rows, bool OneHead>(int64_t h) {
    const auto sharing = [](int64_t apart) {
      if constexpr (OneHead)
        return Shared{};
      else
        return Apart{apart};
    };
    const auto block = [&](int64_t i) {
      const auto* layer = static_cast<const T*>(pages[i]) + args.layer_offset;
      const int64_t at = h / group * attention_block;
      return KeyValueBlock{page_keys(layer + at * d, sharing(attention_block * d)),
                           Elementwise{layer + args.kv_heads * attention_block * d + at * width, width,
                                       sharing(attention_block * width)}};
    };
    int64_t visible[Rows];
    for (int r = 0; r < Rows; ++r) visible[r] = args.lengths[row];
    attend_rows<Rows, T>({{args.qkv.as<T>() + row * row_stride + h * d, d},
                          {args.out.as<T>() + (row * args.heads + h) * d, d},
                          {nullptr, 0}},
                         visible, block, d, args.scale);
  };
  const auto one_head = [&]<int Rows>(int64_t h) { tile.template operator()<Rows, true>(h); };
  if (group == 1)
    for_each_tile<heads_at_once>(first, last, [&]<int Rows>(int64_t h) { tile.template operator()<Rows, false>(h); });
  else if (group % 3 == 0)
    for_each_tile<3>(first, last, one_head);
  else
    for_each_tile<heads_at_once>(first, last, one_head);
}

}  // namespace

void attention_decode(CpuContext& context, const AttentionDecodeArgs& args) {
  require_one_type("attention_decode", "qkv and out", {args.qkv.type, args.out.type});
  require_pairs("attention_decode.head_size", args.qkv.type, args.head_size);
  const int64_t group = args.heads / args.kv_heads;
  // Heads that a task computes together: those that share keys, or some that do not, since one alone has to wait for its sums.
  const int64_t together = group == 1 ? heads_at_once : group, units = (args.heads + together - 1) / together;
  int64_t keys = 0;
  for (int64_t row = 0; row < args.rows; ++row) keys += args.lengths[row];
  const int64_t elements = keys * args.kv_heads * args.head_size;
  const int64_t count = args.rows * units, tasks = max(1, min(count, elements / task_elements));
  context.pool().parallel_for(tasks, [&](int64_t task, int) {
    for (int64_t i = task * count / tasks; i < (task + 1) * count / tasks; ++i) {
      const int64_t first = i % units * together;
      with_type(args.qkv.type, [&]<class T>(T) { decode_row<T>(args, i / units, first, min(args.heads, first + together)); });
    }
  });
}

namespace {

template <class T>
void write_rows(CpuContext& context, const KvWriteArgs& args) {
  const int64_t d = args.head_size, width = padded_head_size(d);
  const int64_t row_stride = (args.heads + 2 * args.kv_heads) * d;
  constexpr int64_t rows_per_task = 16;
  context.pool().parallel_for((args.rows + rows_per_task - 1) / rows_per_task, [&](int64_t task, int) {
    for (int64_t row = task * rows_per_task; row < min(args.rows, (task + 1) * rows_per_task); ++row) {
      if (args.pages[row] == nullptr) continue;
      const T* keys = args.qkv.as<T>() + row * row_stride + args.heads * d;
      const T* values = keys + args.kv_heads * d;
      auto* layer = static_cast<T*>(args.pages[row]) + args.layer_offset;
      T* value_pages = layer + args.kv_heads * attention_block * d;
      const int64_t slot = args.slots[row];
      for (int64_t h = 0; h < args.kv_heads; ++h) {
        T* value = value_pages + (h * attention_block + slot) * width;
        std::memcpy(value, values + h * d, static_cast<size_t>(d) * sizeof(T));
        for (int64_t c = d; c < width; ++c) value[c] = T{};
      }
      for (int64_t c = 0; c < args.kv_heads * d; ++c) layer[c * attention_block + slot] = keys[c];
    }
  });
}

}  // namespace

void kv_write(CpuContext& context, const KvWriteArgs& args) {
  with_type(args.qkv.type, [&]<class T>(T) { write_rows<T>(context, args); });
}

}  // namespace sightline::SIGHTLINE_ISA
