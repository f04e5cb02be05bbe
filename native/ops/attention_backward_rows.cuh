#pragma once

// What the kernels of attention_backward share: the statistics of the queries, the order in which a key meets its queries, and
// what is not done on tensor cores. Included by op sources only.

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/attention_segments.cuh"

namespace sightline::cuda {

class CudaContext;

/**
 * Of every query, by head and row, (H, N), so that a block reads those of its rows side by side:
 * delta = dout . out, and log_sum_exp in units of log 2. What belongs to no query is undefined.
 */
struct QueryStatistics {
  float* delta;
  float* log_sum_exp;
  int64_t rows;

  __device__ int64_t at(int head, int row) const { return head * rows + row; }
};

/**
 * The queries that see a key of one key head, in tiles, in the order in which its gradient is summed: segment (its own, then
 * those that continue it), head of the group, row. The same for all threads of a block.
 */
struct QueryWalk {
  /** Of the tile: query head; its first row within its segment; where the segment's rows begin in the batch, and their number. */
  int head, row, first, end;

  /** @param key  the first key's row of its segment: rows before it see none of them where attention is causal */
  __device__ QueryWalk(const PackedAttention& a, int segment, int key, int kv_head, int tile_rows)
      : segment_(segment), own_(segment), first_head_(kv_head * a.group()), tile_rows_(tile_rows) {
    end_segment_ = segment + 1;
    if (a.segments[3 * segment + 2] < 0)
      while (end_segment_ < a.segment_count && a.segments[3 * end_segment_ + 2] == segment) ++end_segment_;
    open(a, a.causal ? key : 0);
  }
  __device__ bool more() const { return segment_ < end_segment_; }
  /** Whether the tile is of the key's own segment. */
  __device__ bool own() const { return segment_ == own_; }
  __device__ void advance(const PackedAttention& a) {
    row += tile_rows_;
    if (row < end) return;
    row = begin_;
    if (++head < first_head_ + a.group()) return;
    ++segment_;
    open(a, 0);
  }

 private:
  /** Goes to the first tile of the segment, or of the next that has queries. */
  __device__ void open(const PackedAttention& a, int earliest) {
    head = first_head_;
    for (; segment_ < end_segment_; ++segment_, earliest = 0) {
      first = a.segments[3 * segment_];
      end = a.segments[3 * segment_ + 1];
      row = begin_ = max(earliest, a.first_queries ? a.first_queries[segment_] : 0);
      if (row < end) return;
    }
  }

  int segment_, own_, end_segment_, first_head_, tile_rows_, begin_ = 0;
};

/** attention_backward without tensor cores, given the statistics. */
void attention_backward_by_rows(CudaContext& context, const AttentionBackwardArgs& args, const QueryStatistics& statistics);

}  // namespace sightline::cuda
