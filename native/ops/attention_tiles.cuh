#pragma once

// What the tensor-core kernels of attention share. A block has four warps; a warp computes 16 rows of a result. Included by op
// sources only.

#include <cuda_runtime.h>

#include <cstdint>

#include "core/error.h"
#include "cuda/mma.cuh"
#include "ops/attention_segments.cuh"
#include "ops/cuda_scratch.h"

namespace sightline::cuda {

inline constexpr int tile_threads = 128;
/**
 * Blocks that a multiprocessor is to hold, which leaves a thread 168 or 255 registers; left to itself, ptxas spills to have
 * more.
 */
template <int Width>
inline constexpr int tile_blocks = Width <= 64 ? 3 : 2;
/** Rows of the results of a block's four warps. */
inline constexpr int tile_rows = 64;

inline constexpr float log2_e = 1.44269504f;
inline constexpr float ln_2 = 0.693147181f;

/** 2^x to within 2 units in the last place; 0 for minus infinity and where the result would be subnormal. */
__device__ inline float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/**
 * Begins to copy `Rows` rows of head_size elements into a tile and fills what is wider than that with zeros.
 *
 * @tparam Threads  that call it: a block's, or 32 for a warp of its own
 * @param source  `row_stride` elements from row to row; aligned to 16 bytes, as head_size and row_stride keep it
 * @param row_of  row of the source by row of the tile; negative: zeros
 */
template <int Width, int Rows, int Threads = tile_threads, class RowOf>
__device__ inline void copy_rows(Tile<Width> tile, const bf16* source, int64_t row_stride, int head_size, const RowOf& row_of) {
  constexpr int chunks = Tile<Width>::chunks;
#pragma unroll
  for (int first = 0; first < Rows * chunks; first += Threads) {
    const int i = first + threadIdx.x % Threads;
    if (Rows * chunks % Threads != 0 && i >= Rows * chunks) break;
    const int row = i / chunks, chunk = i % chunks, from = row_of(row);
    const bool wanted = from >= 0 && chunk * 8 < head_size;
    copy_async_16(tile.at(row, chunk), source + (wanted ? from * row_stride + chunk * 8 : 0), wanted);
  }
}

/**
 * Begins to copy the keys of `Rows` positions of a sequence, from `first` on, into a tile and their values into the rows behind
 * them, and commits the copies; zeros from position `keys` on. All threads of the block call it.
 */
template <int Width, int Rows>
__device__ inline void copy_keys(Tile<Width> tile, const bf16* qkv, const PackedAttention& a, const Segment& segment, int kv_head,
                                 int first, int keys) {
  const auto row_of = [&](int row) { return first + row < keys ? segment.key_row(first + row) : -1; };
  const bf16* key = qkv + (a.heads + kv_head) * a.head_size;
  copy_rows<Width, Rows>(tile, key, a.row_stride(), a.head_size, row_of);
  copy_rows<Width, Rows>(tile.from_row(Rows), key + a.kv_heads * a.head_size, a.row_stride(), a.head_size, row_of);
  commit_copies();
}

/**
 * Stores the 16 x Width sums of a warp, times `factor` and rounded, by way of 16 rows of a tile that no other warp uses, so
 * that a row goes out in pieces of 16 bytes side by side.
 *
 * @param rows  of the 16 that exist; may be less than 1
 */
template <int Width>
__device__ inline void store_rows(bf16* to, int64_t row_stride, int head_size, int rows, Tile<Width> tile,
                                  const Sums (&sums)[Width / 8], float factor) {
  constexpr int chunks = Tile<Width>::chunks;
  const int lane = threadIdx.x % 32;
  __syncwarp();
#pragma unroll
  for (int chunk = 0; chunk < chunks; ++chunk)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      store_shared_4(tile.at(half * 8 + lane / 4, chunk) + lane % 4 * 4,
                     pack_bf16(sums[chunk][2 * half] * factor, sums[chunk][2 * half + 1] * factor));
  __syncwarp();
#pragma unroll
  for (int i = lane; i < 16 * chunks; i += 32) {
    const int row = i / chunks, chunk = i % chunks;
    if (row < rows && chunk * 8 < head_size)
      store_global_16(to + row * row_stride + chunk * 8, load_shared_16(tile.at(row, chunk)));
  }
}

/** Calls body.operator()<Width>() with the least width of a tile, of those that are compiled, that holds `head_size`. */
template <class Body>
void with_tile_width(int64_t head_size, const Body& body) {
  if (head_size <= 32) return body.template operator()<32>();
  if (head_size <= 64) return body.template operator()<64>();
  if (head_size <= 80) return body.template operator()<80>();
  if (head_size <= 96) return body.template operator()<96>();
  return body.template operator()<128>();
}

}  // namespace sightline::cuda
