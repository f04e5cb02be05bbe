#pragma once

// How the CUDA kernels of attention find their part of a packed batch. Included by op sources only.

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/attention.h"

namespace sightline::cuda {

/** What all kernels of attention over packed segments are told; see AttentionArgs. Pointers are the device's. */
struct PackedAttention {
  const int32_t* segments;
  const int32_t* first_queries;
  int segment_count, heads, kv_heads, head_size;
  float scale;
  bool causal;

  __host__ __device__ int group() const { return heads / kv_heads; }
  /** Elements from a row of qkv to the next. */
  __host__ __device__ int64_t row_stride() const { return static_cast<int64_t>(heads + 2 * kv_heads) * head_size; }
};

/** @param args  AttentionArgs or AttentionBackwardArgs */
template <class Args>
PackedAttention packed_attention(const Args& args) {
  return {args.segments.device,           args.first_queries.device,       static_cast<int>(args.segment_count),
          static_cast<int>(args.heads),   static_cast<int>(args.kv_heads), static_cast<int>(args.head_size),
          args.scale,                     args.causal};
}

/** A segment: rows [first, first + length) of the batch, behind the `before` rows of its prefix. */
struct Segment {
  int first, length, before, prefix_first;
  /** Its rows before this one are no queries. */
  int first_query;

  /** Row of the batch that holds the key at a position of the sequence. */
  __device__ int key_row(int position) const { return position < before ? prefix_first + position : first + position - before; }
  /** Keys that row t of the segment sees. */
  __device__ int visible(int t, bool causal) const { return before + (causal ? t + 1 : length); }
};

__device__ inline Segment segment_at(const PackedAttention& a, int i) {
  const int32_t* s = a.segments + 3 * i;
  const int prefix = s[2];
  const int before = prefix < 0 ? 0 : a.segments[3 * prefix + 1], prefix_first = prefix < 0 ? 0 : a.segments[3 * prefix];
  return {s[0], s[1], before, prefix_first, a.first_queries ? a.first_queries[i] : 0};
}

/** Which rows of a segment are cut into tiles: those that are queries, or all. */
enum class TiledRows { queries, all };

struct SegmentTile {
  int segment;
  /** The tile's place among the `count` tiles of the segment. */
  int index, count;
};

/**
 * The tile that a block works on, where tiles of `tile_rows` rows are numbered segment by segment. Called by whole warps; a
 * warp looks at 32 segments at a time. `number` is below what `count_tiles` gives.
 */
__device__ inline SegmentTile find_tile(const PackedAttention& a, TiledRows rows, int tile_rows, int number) {
  const int lane = threadIdx.x % 32;
  for (int first = 0;; first += 32) {
    int count = 0;
    if (const int i = first + lane; i < a.segment_count) {
      const int skipped = rows == TiledRows::queries && a.first_queries ? a.first_queries[i] : 0;
      count = (a.segments[3 * i + 1] - skipped + tile_rows - 1) / tile_rows;
    }
    int end = count;  // of the segment's tiles, among those of the 32
    for (int step = 1; step < 32; step *= 2) {
      const int before = __shfl_up_sync(~0u, end, step);
      if (lane >= step) end += before;
    }
    const unsigned behind = __ballot_sync(~0u, number < end);
    if (behind != 0) {
      const int found = __ffs(static_cast<int>(behind)) - 1;
      count = __shfl_sync(~0u, count, found);
      end = __shfl_sync(~0u, end, found);
      return {first + found, number - (end - count), count};
    }
    number -= __shfl_sync(~0u, end, 31);
  }
}

/** Tiles of a batch; on the host. */
template <class Args>
unsigned count_tiles(const Args& args, TiledRows rows, int64_t tile_rows) {
  int64_t tiles = 0;
  for (int64_t i = 0; i < args.segment_count; ++i) {
    const int64_t skipped = rows == TiledRows::queries && args.first_queries.host ? args.first_queries.host[i] : 0;
    tiles += (args.segments.host[3 * i + 1] - skipped + tile_rows - 1) / tile_rows;
  }
  return static_cast<unsigned>(tiles);
}

}  // namespace sightline::cuda
