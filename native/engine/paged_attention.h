#pragma once

#include <vector>

#include "models/decoder.h"

namespace sightline {

/** Prompts attend to themselves, and their keys and values go into pages for the responses to come. */
class PrefillAttention : public RowAttention {
 public:
  /**
   * @param first_outputs  per segment the first of its rows that is among the output rows, as all behind it are
   * @param pages, slots   per row, see ops/attention_decode.h
   */
  PrefillAttention(const Segments& segments, const Indices& first_outputs, const MirroredArray<void*>& pages, const Indices& slots)
      : segments_(segments), first_outputs_(first_outputs), pages_(pages), slots_(slots) {}

  Var attend(Tape& tape, int64_t layer, const Var& qkv, const AttentionShape& shape, bool outputs_only) override {
    tape.ops().kv_write(tape.context(), {qkv->value.elements(), pages_, slots_, qkv->value.rows(),
                                         layer * page_layer_size(shape.kv_heads, shape.head_size), shape.heads,
                                         shape.kv_heads, shape.head_size});
    return attention(tape, qkv, shape, segments_, true, outputs_only ? first_outputs_ : Indices());
  }

 private:
  Segments segments_;
  Indices first_outputs_;
  MirroredArray<void*> pages_;
  Indices slots_;
};

/** One new row per request: its key and value go into the request's last page, and it attends to all of its pages. */
class PagedAttention : public RowAttention {
 public:
  /** @param page_table (rows, max_pages); @param lengths keys per row, the new one included */
  PagedAttention(const MirroredArray<void*>& pages, const Indices& slots, const MirroredArray<const void*>& page_table,
                 const Indices& lengths)
      : pages_(pages), slots_(slots), page_table_(page_table), lengths_(lengths) {}

  Var attend(Tape& tape, int64_t layer, const Var& qkv, const AttentionShape& shape, bool) override {
    const int64_t rows = qkv->value.rows(), offset = layer * page_layer_size(shape.kv_heads, shape.head_size);
    tape.ops().kv_write(tape.context(), {qkv->value.elements(), pages_, slots_, rows, offset, shape.heads,
                                         shape.kv_heads, shape.head_size});
    const Var y = tape.variable(rows, shape.out_columns(), qkv->value.type());
    tape.ops().attention_decode(tape.context(),
                                {qkv->value.elements(), page_table_, lengths_, y->value.elements(), rows,
                                 page_table_.size() / rows, offset, shape.heads, shape.kv_heads,
                                 shape.head_size, shape.scale()});
    return y;
  }

 private:
  MirroredArray<void*> pages_;
  Indices slots_;
  MirroredArray<const void*> page_table_;
  Indices lengths_;
};

}  // namespace sightline
