#pragma once

// How attention over packed segments is cut into tasks, and how a task lays keys and values out. Included by op sources only.

#include "core/cpu_context.h"
#include "ops/attention_tile.h"
#include "ops/transpose.h"

namespace sightline::SIGHTLINE_ISA {

/** A segment as stored: rows [first, first + length), behind the `before` positions of its prefix. */
struct Segment {
  int64_t first, length, before;
  /** Its rows before this one are no queries. */
  int64_t first_query;

  /** Keys that row t of the segment sees. */
  int64_t visible(int64_t t, bool causal) const { return causal ? before + t + 1 : length; }
};

/**
 * A root segment with the segments that continue it: the unit whose keys are shared, and so the unit of work (per key
 * head). Its order is fixed by the data, so the sums of the backward pass are too.
 */
struct Family {
  const int32_t* segments;
  const int32_t* first_queries;
  int64_t root, end;

  Segment at(int64_t i) const {
    const int32_t* s = segments + 3 * i;
    return {s[0], s[1], s[2] < 0 ? 0 : segments[3 * s[2] + 1], first_queries ? first_queries[i] : 0};
  }
  /** Positions of its longest sequence, rounded up to whole blocks. */
  int64_t positions() const {
    int64_t longest = 0;
    for (int64_t i = root; i < end; ++i) longest = max(longest, at(i).before + at(i).length);
    return (longest + block_keys - 1) / block_keys * block_keys;
  }
};

/** What one task computes: `part` of `parts` of the queries of a family, for the query heads of one key head. */
struct FamilyTask {
  Family family;
  int64_t kv_head, part, parts;
  int thread;
};

/**
 * Calls body(FamilyTask) for every family, key head and part.
 *
 * @param args       AttentionArgs or AttentionBackwardArgs
 * @param divisible  whether a family's queries may be shared out, as they are where there is not enough else to do at once
 */
template <class Args, class Body>
inline void for_each_family(CpuContext& context, const Args& args, bool divisible, const Body& body) {
  int64_t families = 0;
  for (int64_t i = 0; i < args.segment_count; ++i) families += args.segments[3 * i + 2] < 0;
  if (families == 0) return;
  // Index of the first segment of each family, and behind them the number of segments.
  auto* roots = reinterpret_cast<int64_t*>(context.shared_scratch(2 * (families + 1)));
  for (int64_t i = 0, f = 0; i < args.segment_count; ++i)
    if (args.segments[3 * i + 2] < 0) roots[f++] = i;
  roots[families] = args.segment_count;
  const int64_t whole = families * args.kv_heads, threads = context.pool().size();
  const int64_t parts = divisible && threads > 1 ? (2 * threads + whole - 1) / whole : 1;
  context.pool().parallel_for(whole * parts, [&](int64_t task, int thread) {
    const int64_t f = task / parts / args.kv_heads;
    body(FamilyTask{{args.segments, args.first_queries, roots[f], roots[f + 1]}, task / parts % args.kv_heads, task % parts,
                    parts, thread});
  });
}

/**
 * Stores the rows x[t], t in [0, count), of D elements, x_step apart, at the positions from `position` on of
 * (blocks, product_depth, block_keys).
 */
template <class T>
inline void put_transposed(float* blocks, int64_t position, int64_t count, int64_t head_size, const T* x, int64_t x_step) {
  const int64_t depth = product_depth<T>(head_size);
  while (count > 0) {
    const int64_t slot = position % block_keys, n = min(count, block_keys - slot);
    float* to = blocks + (position - slot) * depth + slot;
    if constexpr (in_pairs<T>)
      transpose(reinterpret_cast<const float*>(x), x_step / 2, n, depth, to, block_keys);  // word by word
    else
      transpose(x, x_step, n, depth, to, block_keys);
    position += n;
    x += n * x_step;
    count -= n;
  }
}

/** Block i of keys that `put_transposed` has stored as T. */
template <class T>
inline auto transposed_block(const float* blocks, int64_t i, int64_t head_size) {
  const Elementwise<float> block{blocks + i * block_keys * product_depth<T>(head_size), block_keys};
  if constexpr (in_pairs<T>)
    return Pairwise{block};
  else
    return block;
}

/** Copies `count` rows of D elements, x_step apart, to rows of floats that are padded with zeros. */
template <class T>
inline void put_padded(float* rows, int64_t count, int64_t head_size, const T* x, int64_t x_step) {
  const int64_t width = padded_head_size(head_size);
  for (int64_t t = 0; t < count; ++t) {
    float* row = rows + t * width;
    for_vectors(head_size, [&](int64_t c, auto n) { store(row + c, load(x + t * x_step + c, n), n); });
    for (int64_t c = head_size; c < width; ++c) row[c] = 0.0f;
  }
}

}  // namespace sightline::SIGHTLINE_ISA
