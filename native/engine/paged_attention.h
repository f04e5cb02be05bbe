#pragma once

#include <vector>

#include "models/decoder.h"

namespace sightline {

/** Prompts attend to themselves, and their keys and values go into pages for the responses to come. */
class PrefillAttention : public RowAttention {
 public:
  /**
   * @param first_outputs  per segment the first of its rows that is among the output rows, as all behind it are
   * @param pages, slots   per row, see ops/attention_decode.h; all references must outlive the object
   */
  PrefillAttention(const Segments& segments, const std::vector<int32_t>& first_outputs, const std::vector<float*>& pages,
                   const std::vector<int32_t>& slots)
      : segments_(segments), first_outputs_(first_outputs), pages_(pages), slots_(slots) {}

  Var attend(Tape& tape, int64_t layer, const Var& qkv, const AttentionShape& shape, bool outputs_only) override {
    tape.ops().kv_write(tape.context(), {qkv->value.data(), pages_.data(), slots_.data(), qkv->value.rows(),
                                         layer * page_layer_size(shape.kv_heads, shape.head_size), shape.heads,
                                         shape.kv_heads, shape.head_size});
    return attention(tape, qkv, shape, segments_, true, outputs_only ? &first_outputs_ : nullptr);
  }

 private:
  const Segments& segments_;
  const std::vector<int32_t>& first_outputs_;
  const std::vector<float*>& pages_;
  const std::vector<int32_t>& slots_;
};

/** One new row per request: its key and value go into the request's last page, and it attends to all of its pages. */
class PagedAttention : public RowAttention {
 public:
  /** @param page_table (rows, max_pages); @param lengths keys per row, the new one included; references must outlive this */
  PagedAttention(const std::vector<float*>& pages, const std::vector<int32_t>& slots,
                 const std::vector<const float*>& page_table, const std::vector<int32_t>& lengths)
      : pages_(pages), slots_(slots), page_table_(page_table), lengths_(lengths) {}

  Var attend(Tape& tape, int64_t layer, const Var& qkv, const AttentionShape& shape, bool) override {
    const int64_t rows = qkv->value.rows(), offset = layer * page_layer_size(shape.kv_heads, shape.head_size);
    tape.ops().kv_write(tape.context(), {qkv->value.data(), pages_.data(), slots_.data(), rows, offset, shape.heads,
                                         shape.kv_heads, shape.head_size});
    const Var y = tape.variable(rows, shape.out_columns());
    tape.ops().attention_decode(tape.context(),
                                {qkv->value.data(), page_table_.data(), lengths_.data(), y->value.data(), rows,
                                 static_cast<int64_t>(page_table_.size()) / rows, offset, shape.heads, shape.kv_heads,
                                 shape.head_size, shape.scale()});
    return y;
  }

 private:
  const std::vector<float*>& pages_;
  const std::vector<int32_t>& slots_;
  const std::vector<const float*>& page_table_;
  const std::vector<int32_t>& lengths_;
};

}  // namespace sightline
