#include "cuda/cuda_context.h"
#include "ops/attention_backward_rows.cuh"
#include "ops/attention_segments.cuh"
#include "ops/attention_tiles.cuh"

namespace sightline::cuda {
namespace {

// ---- statistics of the queries

constexpr int statistics_rows = 32, statistics_heads = 8;

/**
 * delta and log_sum_exp of 32 queries of a segment and 8 heads, by head and row (see QueryStatistics). Grid: (groups of heads,
 * tiles of queries), 128 threads: eight lanes to a query and head, elements by lane and then by their tree; through shared
 * memory (2.3 KiB), so that what is laid out by row and head is read in whole sectors and written so by head and row.
 * Registers (sm_80): at most 42.
 */
template <class T, int Elements>
__global__ void __launch_bounds__(128)
    attention_backward_statistics_kernel(const T* __restrict__ dout, const T* __restrict__ out,
                                         const float* __restrict__ log_sum_exp, const QueryStatistics statistics,
                                         const PackedAttention a) {
  __shared__ float tile[2][statistics_heads][statistics_rows + 4];  // four more: the columns of a warp in different banks
  const SegmentTile place = find_tile(a, TiledRows::queries, statistics_rows, static_cast<int>(blockIdx.y));
  const Segment segment = segment_at(a, place.segment);
  const int begin = segment.first_query + place.index * statistics_rows, rows = min(statistics_rows, segment.length - begin);
  const int first_head = static_cast<int>(blockIdx.x) * statistics_heads, heads = min(statistics_heads, a.heads - first_head);
  const int64_t first = segment.first + begin;
  const int lane = threadIdx.x % 8;
  for (int i = threadIdx.x / 8; i < statistics_rows * statistics_heads; i += 128 / 8) {
    const int row = i / statistics_heads, head = i % statistics_heads;
    const bool present = row < rows && head < heads;
    const int64_t at = ((first + row) * a.heads + first_head + head) * a.head_size;
    float sum = 0.0f;
    for (int c = lane * Elements; present && c < a.head_size; c += 8 * Elements) {
      float x[Elements], y[Elements];
      load(dout + at + c, x);
      load(out + at + c, y);
#pragma unroll
      for (int e = 0; e < Elements; ++e) sum = fmaf(x[e], y[e], sum);
    }
    for (int distance = 4; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
    if (lane == 0) tile[0][head][row] = sum;
  }
  for (int i = threadIdx.x; i < statistics_rows * statistics_heads; i += 128) {
    const int row = i / statistics_heads, head = i % statistics_heads;
    tile[1][head][row] = row < rows && head < heads ? log_sum_exp[(first + row) * a.heads + first_head + head] * log2_e : 0.0f;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < statistics_rows * statistics_heads; i += 128) {
    const int row = i % statistics_rows, head = i / statistics_rows;
    if (row >= rows || head >= heads) continue;
    const int64_t at = statistics.at(first_head + head, static_cast<int>(first) + row);
    statistics.delta[at] = tile[0][head][row];
    statistics.log_sum_exp[at] = tile[1][head][row];
  }
}

// ---- gradients of the queries

/** Keys that a block takes at once. */
constexpr int key_rows = 32;

/** Shared memory: queries and their gradients, and keys and values of two blocks of positions. */
template <int Width>
constexpr size_t query_bytes = Tile<Width>::bytes(2 * tile_rows + 4 * key_rows);

/**
 * dq of 64 rows of a segment of one head: dS k over the tiles of 32 keys that they see, by position. Rows that are no queries
 * become zero.
 *
 * Grid: (H, tiles of rows), the tiles that see most first within a segment. A warp computes 16 rows; while a tile of keys and
 * values is worked on, the next is being copied; one barrier per tile. dS is rounded to bf16 to multiply the keys.
 * Registers (sm_80): 128 wide 192, 64 wide 160. Shared memory at 128: 64 KiB, two blocks per multiprocessor.
 */
template <int Width>
__global__ void __launch_bounds__(tile_threads, tile_blocks<Width>)
    attention_backward_query_tile_kernel(const bf16* __restrict__ dout, const bf16* __restrict__ qkv, bf16* __restrict__ dqkv,
                                         const QueryStatistics statistics, const PackedAttention a) {
  extern __shared__ __align__(128) unsigned char shared[];
  const Tile<Width> queries{shared_address(shared)}, douts = queries.from_row(tile_rows);
  const auto keys_of = [&](int tile) { return douts.from_row(tile_rows + tile % 2 * 2 * key_rows); };

  const SegmentTile place = find_tile(a, TiledRows::all, tile_rows, static_cast<int>(blockIdx.y));
  const Segment segment = segment_at(a, place.segment);
  const int head = static_cast<int>(blockIdx.x), kv_head = head / a.group();
  const int begin = (place.count - 1 - place.index) * tile_rows, rows = min(tile_rows, segment.length - begin);
  // Of the rows, those from this one on are queries.
  const int first_query = segment.first_query - begin;
  const int keys = first_query < rows ? segment.visible(begin + rows - 1, a.causal) : 0;
  const int tiles = (keys + key_rows - 1) / key_rows;
  const int64_t row_stride = a.row_stride(), out_stride = static_cast<int64_t>(a.heads) * a.head_size;

  const auto query_row = [&](int row) { return row < rows && row >= first_query ? segment.first + begin + row : -1; };
  copy_rows<Width, tile_rows>(queries, qkv + head * a.head_size, row_stride, a.head_size, query_row);
  copy_rows<Width, tile_rows>(douts, dout + head * a.head_size, out_stride, a.head_size, query_row);
  const auto copy_tile = [&](int tile) { copy_keys<Width, key_rows>(keys_of(tile), qkv, a, segment, kv_head, tile * key_rows, keys); };
  copy_tile(0);

  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 16, lane = threadIdx.x % 32;
  const int seen_by_first = segment.visible(begin + warp_row, a.causal);
  const int last = min(warp_row + 15, rows - 1);
  const int seen = last >= max(warp_row, first_query) ? segment.visible(begin + last, a.causal) : 0;
  const float exponent_scale = a.scale * log2_e;
  float delta[2], log_sum_exp[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = query_row(warp_row + lane / 4 + half * 8);
    delta[half] = row < 0 ? 0.0f : statistics.delta[statistics.at(head, row)];
    log_sum_exp[half] = row < 0 ? 0.0f : statistics.log_sum_exp[statistics.at(head, row)];
  }
  Sums sums[Width / 8] = {};
  for (int tile = 0; tile < tiles; ++tile) {
    wait_for_copies<0>();
    __syncthreads();
    if (tile + 1 < tiles) copy_tile(tile + 1);
    const int first = tile * key_rows;
    if (first >= seen) continue;
    Sums scores[key_rows / 8] = {}, dscores[key_rows / 8] = {};
#pragma unroll
    for (int k = 0; k < Width / 16; ++k) {
      LeftFragment left;
      load_left(left, queries.from_row(warp_row), k);
      multiply_by_rows<key_rows / 16>(scores, left, keys_of(tile), k);
    }
#pragma unroll
    for (int k = 0; k < Width / 16; ++k) {
      LeftFragment left;
      load_left(left, douts.from_row(warp_row), k);
      multiply_by_rows<key_rows / 16>(dscores, left, keys_of(tile).from_row(key_rows), k);
    }
    const bool all_seen = first + key_rows <= seen_by_first;
#pragma unroll
    for (int n = 0; n < key_rows / 8; ++n)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int position = first + n * 8 + lane % 4 * 2 + j % 2, row = warp_row + lane / 4 + j / 2 * 8;
        const float weight = exp2_approximate(fmaf(scores[n][j], exponent_scale, -log_sum_exp[j / 2]));
        const bool counts = all_seen || position < min(keys, segment.visible(begin + row, a.causal));
        scores[n][j] = counts ? weight * (dscores[n][j] - delta[j / 2]) : 0.0f;
      }
#pragma unroll
    for (int k = 0; k < key_rows / 16; ++k) {
      LeftFragment left;
      round_to_left(left, scores[2 * k], scores[2 * k + 1]);
      multiply_by_columns(sums, left, keys_of(tile).from_row(16 * k));
    }
  }
  wait_for_copies<0>();
  __syncthreads();
  store_rows(dqkv + (segment.first + begin + warp_row) * row_stride + head * a.head_size, row_stride, a.head_size, rows - warp_row,
             queries.from_row(warp_row), sums, a.scale);
}

// ---- gradients of the keys and values

/** Queries that a block takes at once. */
constexpr int query_rows = 32;

/** Shared memory: keys and values; queries, their gradients and their statistics, twice. */
template <int Width>
constexpr size_t key_bytes = Tile<Width>::bytes(2 * tile_rows + 4 * query_rows) + 4 * query_rows * sizeof(float);

/**
 * dk and dv of 64 rows of a segment of one key head: the queries that see them, in the order of QueryWalk, in tiles of 32. A key
 * head's query heads and the segments that continue a prefix are summed in one block, so that no block waits for, or adds to,
 * what another one writes.
 *
 * Grid: (G, tiles of rows). A warp computes 16 keys, their scores transposed, so that both sums stay in its registers; while a
 * tile of queries is worked on, the next is being copied; one barrier per tile. P and dS are rounded to bf16 to multiply dout
 * and the queries.
 * Registers (sm_80): 128 wide 251, 64 wide 167. Shared memory at 128: 64.5 KiB, two blocks per multiprocessor.
 */
template <int Width>
__global__ void __launch_bounds__(tile_threads, tile_blocks<Width>)
    attention_backward_key_tile_kernel(const bf16* __restrict__ dout, const bf16* __restrict__ qkv, bf16* __restrict__ dqkv,
                                       const QueryStatistics statistics, const PackedAttention a) {
  extern __shared__ __align__(128) unsigned char shared[];
  const Tile<Width> keys{shared_address(shared)}, values = keys.from_row(tile_rows);
  const auto queries_of = [&](int buffer) { return values.from_row(tile_rows + buffer * 2 * query_rows); };
  // Of a buffer: delta of its queries, then their log_sum_exp.
  const float* all_statistics = reinterpret_cast<const float*>(shared + Tile<Width>::bytes(2 * tile_rows + 4 * query_rows));

  const SegmentTile place = find_tile(a, TiledRows::all, tile_rows, static_cast<int>(blockIdx.y));
  const Segment segment = segment_at(a, place.segment);
  const int kv_head = static_cast<int>(blockIdx.x), begin = place.index * tile_rows, rows = min(tile_rows, segment.length - begin);
  const int64_t row_stride = a.row_stride(), out_stride = static_cast<int64_t>(a.heads) * a.head_size;
  const int key_column = (a.heads + kv_head) * a.head_size, value_column = key_column + a.kv_heads * a.head_size;
  const auto key_row = [&](int row) { return row < rows ? segment.first + begin + row : -1; };
  copy_rows<Width, tile_rows>(keys, qkv + key_column, row_stride, a.head_size, key_row);
  copy_rows<Width, tile_rows>(values, qkv + value_column, row_stride, a.head_size, key_row);
  commit_copies();  // there may be no queries to come

  const auto copy_tile = [&](const QueryWalk& walk, int buffer) {
    const auto row_of = [&](int row) { return walk.row + row < walk.end ? walk.first + walk.row + row : -1; };
    const Tile<Width> queries = queries_of(buffer);
    copy_rows<Width, query_rows>(queries, qkv + walk.head * a.head_size, row_stride, a.head_size, row_of);
    copy_rows<Width, query_rows>(queries.from_row(query_rows), dout + walk.head * a.head_size, out_stride, a.head_size, row_of);
    if (threadIdx.x < 2 * query_rows) {
      const float* from = threadIdx.x < query_rows ? statistics.delta : statistics.log_sum_exp;
      const int row = row_of(threadIdx.x % query_rows);
      copy_async_4(shared_address(all_statistics + buffer * 2 * query_rows + threadIdx.x),
                   from + (row < 0 ? 0 : statistics.at(walk.head, row)), row >= 0);
    }
    commit_copies();
  };

  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 16, lane = threadIdx.x % 32;
  const float exponent_scale = a.scale * log2_e;
  Sums dkeys[Width / 8] = {}, dvalues[Width / 8] = {};
  QueryWalk walk(a, place.segment, begin, kv_head, query_rows);
  if (walk.more()) copy_tile(walk, 0);
  for (int buffer = 0; walk.more(); buffer ^= 1) {
    wait_for_copies<0>();
    __syncthreads();
    const int first = walk.row;
    // Where the tile's queries stand before keys of the block: only the segment's own may.
    const bool diagonal = walk.own() && a.causal && first < begin + warp_row + 15;
    const bool seen = !diagonal || min(first + query_rows, walk.end) > begin + warp_row;
    walk.advance(a);
    if (walk.more()) copy_tile(walk, buffer ^ 1);
    if (!seen) continue;
    const Tile<Width> queries = queries_of(buffer), douts = queries.from_row(query_rows);
    const float* delta = all_statistics + buffer * 2 * query_rows;
    const float* log_sum_exp = delta + query_rows;
    Sums weights[query_rows / 8] = {};
#pragma unroll
    for (int k = 0; k < Width / 16; ++k) {
      LeftFragment left;
      load_left(left, keys.from_row(warp_row), k);
      multiply_by_rows<query_rows / 16>(weights, left, queries, k);
    }
#pragma unroll
    for (int n = 0; n < query_rows / 8; ++n) {
      const float2 lse = *reinterpret_cast<const float2*>(log_sum_exp + n * 8 + lane % 4 * 2);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int t = first + n * 8 + lane % 4 * 2 + j % 2, key = begin + warp_row + lane / 4 + j / 2 * 8;
        const float weight = exp2_approximate(fmaf(weights[n][j], exponent_scale, j % 2 == 0 ? -lse.x : -lse.y));
        weights[n][j] = !diagonal || t >= key ? weight : 0.0f;
      }
    }
#pragma unroll
    for (int k = 0; k < query_rows / 16; ++k) {
      LeftFragment left;
      round_to_left(left, weights[2 * k], weights[2 * k + 1]);
      multiply_by_columns(dvalues, left, douts.from_row(16 * k));
    }
    Sums dweights[query_rows / 8] = {};
#pragma unroll
    for (int k = 0; k < Width / 16; ++k) {
      LeftFragment left;
      load_left(left, values.from_row(warp_row), k);
      multiply_by_rows<query_rows / 16>(dweights, left, douts, k);
    }
#pragma unroll
    for (int n = 0; n < query_rows / 8; ++n) {
      const float2 d = *reinterpret_cast<const float2*>(delta + n * 8 + lane % 4 * 2);
#pragma unroll
      for (int j = 0; j < 4; ++j) weights[n][j] *= dweights[n][j] - (j % 2 == 0 ? d.x : d.y);
    }
#pragma unroll
    for (int k = 0; k < query_rows / 16; ++k) {
      LeftFragment left;
      round_to_left(left, weights[2 * k], weights[2 * k + 1]);
      multiply_by_columns(dkeys, left, queries.from_row(16 * k));
    }
  }
  wait_for_copies<0>();
  __syncthreads();
  bf16* to = dqkv + (segment.first + begin + warp_row) * row_stride;
  store_rows(to + key_column, row_stride, a.head_size, rows - warp_row, keys.from_row(warp_row), dkeys, a.scale);
  store_rows(to + value_column, row_stride, a.head_size, rows - warp_row, values.from_row(warp_row), dvalues, 1.0f);
}

}  // namespace

void attention_backward(CudaContext& context, const AttentionBackwardArgs& args) {
  const DType type = args.qkv.type;
  require_one_type("attention_backward", "dout, qkv, out and dqkv", {args.dout.type, type, args.out.type, args.dqkv.type});
  const PackedAttention a = packed_attention(args);
  const int64_t batch_rows = rows_of_batch(args);
  const QueryStatistics statistics{context.scratch_array<float>(batch_rows * args.heads),
                                   context.scratch_array<float>(batch_rows * args.heads), batch_rows};
  with_type(type, [&](auto stored) {
    using T = typename decltype(stored)::type;
    const T *dout = args.dout.as<T>(), *out = args.out.as<T>();
    const auto groups = static_cast<unsigned>((args.heads + statistics_heads - 1) / statistics_heads);
    with_width(
        [&](auto width) {
          context.launch(attention_backward_statistics_kernel<T, width.value>,
                         dim3(groups, count_tiles(args, TiledRows::queries, statistics_rows)), dim3(128), 0, dout, out,
                         args.log_sum_exp, statistics, a);
        },
        args.head_size, dout, out);
  });
  if (!fits_tiles(args.head_size, {args.dout, args.qkv, args.dqkv})) return attention_backward_by_rows(context, args, statistics);
  const unsigned tiles = count_tiles(args, TiledRows::all, tile_rows);
  with_tile_width(args.head_size, [&]<int Width>() {
    const auto *dout = args.dout.as<bf16>(), *qkv = args.qkv.as<bf16>();
    context.launch(attention_backward_query_tile_kernel<Width>, dim3(static_cast<unsigned>(args.heads), tiles), dim3(tile_threads),
                   query_bytes<Width>, dout, qkv, args.dqkv.as<bf16>(), statistics, a);
    context.launch(attention_backward_key_tile_kernel<Width>, dim3(static_cast<unsigned>(args.kv_heads), tiles), dim3(tile_threads),
                   key_bytes<Width>, dout, qkv, args.dqkv.as<bf16>(), statistics, a);
  });
}

}  // namespace sightline::cuda
