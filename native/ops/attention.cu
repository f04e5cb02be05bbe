#include "ops/attention.h"

#include "cuda/cuda_context.h"
#include "ops/attention_rows.cuh"
#include "ops/attention_segments.cuh"
#include "ops/attention_tiles.cuh"

namespace sightline::cuda {
namespace {

/** Keys that a block takes at once. */
constexpr int key_rows = 64;

/** Shared memory: the queries, and keys and values of two blocks of positions. */
template <int Width>
constexpr size_t tile_bytes = Tile<Width>::bytes(tile_rows + 4 * key_rows);

/**
 * 64 queries of a segment of one head against all keys that they see, in tiles of 64 positions: FlashAttention-2's forward
 * pass (Dao 2023, arXiv 2307.08691, algorithm 1).
 *
 * Grid: (H, tiles of queries), the tiles that see most first within a segment. A warp computes 16 rows: its queries and its
 * sums stay in registers, so that rows meet no other warp's. While a tile of keys and values is worked on, the next is being
 * copied; one barrier per tile.
 * Order of sums: a row's scores over the head's columns; the tiles of keys by position, with a running maximum and sum; within
 * a tile by lane, the four lanes of a row at the end. It depends on the row's own sequence only: a tile that a row does not
 * see leaves its sums as they are. Weights are rounded to bf16 to multiply the values; their sum is not.
 * Registers (sm_80): 128 wide 223, 64 wide 161. Shared memory at 128: 80 KiB, two blocks per multiprocessor.
 */
template <int Width>
__global__ void __launch_bounds__(tile_threads, tile_blocks<Width>)
    attention_tile_kernel(const bf16* __restrict__ qkv, bf16* __restrict__ out, float* __restrict__ log_sum_exp,
                          const PackedAttention a) {
  extern __shared__ __align__(128) unsigned char shared[];
  const Tile<Width> queries{shared_address(shared)};
  const auto keys_of = [&](int tile) { return queries.from_row(tile_rows + tile % 2 * 2 * key_rows); };

  const SegmentTile place = find_tile(a, TiledRows::queries, tile_rows, static_cast<int>(blockIdx.y));
  const Segment segment = segment_at(a, place.segment);
  const int head = static_cast<int>(blockIdx.x), kv_head = head / a.group();
  const int begin = segment.first_query + (place.count - 1 - place.index) * tile_rows;
  const int rows = min(tile_rows, segment.length - begin);
  const int keys = segment.visible(begin + rows - 1, a.causal), tiles = (keys + key_rows - 1) / key_rows;
  const int64_t row_stride = a.row_stride();

  copy_rows<Width, tile_rows>(queries, qkv + head * a.head_size, row_stride, a.head_size,
                              [&](int row) { return row < rows ? segment.first + begin + row : -1; });
  const auto copy_tile = [&](int tile) { copy_keys<Width, key_rows>(keys_of(tile), qkv, a, segment, kv_head, tile * key_rows, keys); };
  copy_tile(0);

  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 16, lane = threadIdx.x % 32;
  // Of the warp's rows: keys that the first sees, and that any sees.
  const int seen_by_first = segment.visible(begin + warp_row, a.causal);
  const int seen = warp_row < rows ? segment.visible(begin + min(warp_row + 15, rows - 1), a.causal) : 0;
  const float exponent_scale = a.scale * log2_e;
  const Tile<Width> own = queries.from_row(warp_row);
  LeftFragment q[Width / 16];
  Sums sums[Width / 8] = {};
  float maximum[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};

  wait_for_copies<0>();
  __syncthreads();
#pragma unroll
  for (int k = 0; k < Width / 16; ++k) load_left(q[k], own, k);
  for (int tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles) copy_tile(tile + 1);
    const int first = tile * key_rows;
    if (first < seen) {
      Sums scores[key_rows / 8] = {};
#pragma unroll
      for (int k = 0; k < Width / 16; ++k) multiply_by_rows<key_rows / 16>(scores, q[k], keys_of(tile), k);
      if (first + key_rows > seen_by_first)
#pragma unroll
        for (int n = 0; n < key_rows / 8; ++n)
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            const int position = first + n * 8 + lane % 4 * 2 + j % 2, row = warp_row + lane / 4 + j / 2 * 8;
            if (position >= min(keys, segment.visible(begin + row, a.causal))) scores[n][j] = -INFINITY;
          }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float highest = maximum[half];
#pragma unroll
        for (int n = 0; n < key_rows / 8; ++n) highest = fmaxf(highest, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
        highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
        highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
        const float correction = exp2_approximate((maximum[half] - highest) * exponent_scale);
        const float offset = highest * exponent_scale;
        maximum[half] = highest;
        total[half] *= correction;
#pragma unroll
        for (int n = 0; n < Width / 8; ++n) sums[n][2 * half] *= correction, sums[n][2 * half + 1] *= correction;
#pragma unroll
        for (int n = 0; n < key_rows / 8; ++n)
#pragma unroll
          for (int j = 2 * half; j < 2 * half + 2; ++j) {
            scores[n][j] = exp2_approximate(fmaf(scores[n][j], exponent_scale, -offset));
            total[half] += scores[n][j];
          }
      }
#pragma unroll
      for (int k = 0; k < key_rows / 16; ++k) {
        LeftFragment weights;
        round_to_left(weights, scores[2 * k], scores[2 * k + 1]);
        multiply_by_columns(sums, weights, keys_of(tile).from_row(key_rows + 16 * k));
      }
    }
    wait_for_copies<0>();
    __syncthreads();
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    total[half] += __shfl_xor_sync(~0u, total[half], 1);
    total[half] += __shfl_xor_sync(~0u, total[half], 2);
    const float factor = 1.0f / total[half];
#pragma unroll
    for (int n = 0; n < Width / 8; ++n) sums[n][2 * half] *= factor, sums[n][2 * half + 1] *= factor;
    const int row = warp_row + lane / 4 + half * 8;
    if (row < rows && lane % 4 == 0)
      log_sum_exp[static_cast<int64_t>(segment.first + begin + row) * a.heads + head] =
          fmaf(maximum[half], a.scale, logf(total[half]));
  }
  const int64_t out_stride = static_cast<int64_t>(a.heads) * a.head_size;
  store_rows(out + (segment.first + begin + warp_row) * out_stride + head * a.head_size, out_stride, a.head_size, rows - warp_row,
             own, sums, 1.0f);
}

/**
 * A warp per query; see attend_row for the order of sums. Grid: (H, groups of 4 queries of a segment). Keys come from the L1
 * cache for all but the first of a block's rows. Registers (sm_80): at most 55; no shared memory.
 */
template <class T, int Columns>
__global__ void __launch_bounds__(row_kernel_threads, row_blocks)
    attention_row_kernel(const T* __restrict__ qkv, T* __restrict__ out, float* __restrict__ log_sum_exp, const PackedAttention a) {
  const SegmentTile place = find_tile(a, TiledRows::queries, rows_per_block, static_cast<int>(blockIdx.y));
  const Segment segment = segment_at(a, place.segment);
  const int t = segment.first_query + place.index * rows_per_block + static_cast<int>(threadIdx.x) / 32;
  if (t >= segment.length) return;
  const int head = static_cast<int>(blockIdx.x);
  const int64_t row_stride = a.row_stride(), row = segment.first + t;
  const T* key = qkv + (a.heads + head / a.group()) * a.head_size;
  const auto key_value = [&](int position) {
    const T* at = key + segment.key_row(position) * row_stride;
    return KeyValue<T>{at, at + a.kv_heads * a.head_size};
  };
  const auto result = attend_row<Columns>(qkv + row * row_stride + head * a.head_size, segment.visible(t, a.causal), key_value,
                                          a.head_size, a.scale);
  result.sums.store(out + (row * a.heads + head) * a.head_size, a.head_size, 1.0f / result.total);
  if (threadIdx.x % 32 == 0) log_sum_exp[row * a.heads + head] = result.log_sum_exp;
}

}  // namespace

void attention(CudaContext& context, const AttentionArgs& args) {
  require_one_type("attention", "qkv and out", {args.qkv.type, args.out.type});
  const PackedAttention a = packed_attention(args);
  const bool tiles = fits_tiles(args.head_size, {args.qkv, args.out});
  const dim3 grid(static_cast<unsigned>(args.heads), count_tiles(args, TiledRows::queries, tiles ? tile_rows : rows_per_block));
  if (tiles)
    with_tile_width(args.head_size, [&]<int Width>() {
      context.launch(attention_tile_kernel<Width>, grid, dim3(tile_threads), tile_bytes<Width>, args.qkv.as<bf16>(),
                     args.out.as<bf16>(), args.log_sum_exp, a);
    });
  else
    with_row_kernel(args.qkv.type, args.head_size, [&](auto stored, auto columns) {
      using T = typename decltype(stored)::type;
      context.launch(attention_row_kernel<T, columns.value>, grid, dim3(row_kernel_threads), 0, args.qkv.as<T>(), args.out.as<T>(),
                     args.log_sum_exp, a);
    });
}

}  // namespace sightline::cuda
