#include "ops/attention_decode.h"

#include "cuda/cuda_context.h"
#include "ops/attention_rows.cuh"
#include "ops/attention_tiles.cuh"

namespace sightline::cuda {
namespace {

// On the GPU a layer of a page holds, per key head, (attention_block, D) keys, then per key head as many values: rows without
// padding, as a row of keys or values is read and written at once. It is smaller than page_layer_size allows.

/** What the kernels are told; see AttentionDecodeArgs. Pointers are the device's. */
template <class T>
struct PagedAttention {
  const T* qkv;
  const void* const* pages;
  const int32_t* lengths;
  int max_pages, heads, kv_heads, head_size;
  int64_t layer_offset;
  float scale;

  __device__ int group() const { return heads / kv_heads; }
  __device__ const T* query(int row, int head) const {
    return qkv + (static_cast<int64_t>(row) * (heads + 2 * kv_heads) + head) * head_size;
  }
  /** The keys of a page. Values lie `values()` elements behind. */
  __device__ const T* keys(int row, int page, int kv_head) const {
    const auto* layer = static_cast<const T*>(pages[static_cast<int64_t>(row) * max_pages + page]) + layer_offset;
    return layer + static_cast<int64_t>(kv_head) * attention_block * head_size;
  }
  __device__ int64_t values() const { return static_cast<int64_t>(kv_heads) * attention_block * head_size; }
};

/**
 * What is known of a row and head after each part of its keys: (B, H, parts) maxima of the scores in units of log 2 and sums of
 * the weights relative to it, and (B, H, parts, D) sums of weighted values.
 */
struct DecodeParts {
  float2* totals;
  float* sums;
  int count;
};

/** Keys of a part: a function of nothing but their positions, so that a row's sums do not depend on what else is decoded. */
constexpr int part_keys = 2 * attention_block;
/** Keys of a part that one of the block's warps takes. */
constexpr int warp_keys = part_keys / 4;
/** Query heads of a key head that one tile takes. */
constexpr int head_rows = 16;

/** Shared memory: the queries; keys and values of a part, whose place the four warps' sums take in the end. */
template <int Width>
constexpr size_t part_bytes = Tile<Width>::bytes(head_rows + 2 * part_keys);

/**
 * One row's query heads of one key head, up to 16 as the rows of a tile, over one part of its keys. Reading the keys and values
 * bounds it, so all of them are asked for at once, each warp its own 32, and nothing waits but for what it needs.
 *
 * Grid: (G * tiles of heads, parts, B); blocks of parts behind a row's last key end at once: the grid depends on the page
 * table's size alone, so that a captured launch serves any lengths.
 * Order of sums: of a warp as in `attention`; the four warps in order. Weights are rounded to bf16 to multiply the values.
 * Registers (sm_80): 128 wide 128, 64 wide 77. Shared memory at 128: 68 KiB, two blocks per multiprocessor, which have
 * 128 KiB under way.
 */
template <int Width>
__global__ void __launch_bounds__(tile_threads, tile_blocks<Width>) attention_decode_part_kernel(const PagedAttention<bf16> a, const DecodeParts parts) {
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ float2 warp_totals[4][head_rows];
  const Tile<Width> queries{shared_address(shared)};
  const int row = static_cast<int>(blockIdx.z), part = static_cast<int>(blockIdx.y), length = a.lengths[row];
  if (part * part_keys >= length) return;
  const int head_tiles = (a.group() + head_rows - 1) / head_rows;
  const int kv_head = static_cast<int>(blockIdx.x) / head_tiles, first_of_group = static_cast<int>(blockIdx.x) % head_tiles * head_rows;
  const int first_head = kv_head * a.group() + first_of_group, heads = min(head_rows, a.group() - first_of_group);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = threadIdx.x % 32;

  // Position of the warp's first key, and how many of its keys there are.
  const int first = part * part_keys + warp * warp_keys, keys = min(warp_keys, length - first);
  const Tile<Width> key_tile = queries.from_row(head_rows + warp * warp_keys), value_tile = key_tile.from_row(part_keys);
  copy_rows<Width, head_rows>(queries, a.query(row, first_head), a.head_size, a.head_size, [&](int r) { return r < heads ? r : -1; });
  if (keys > 0) {
    const bf16* from = a.keys(row, first / attention_block, kv_head);
    const auto slot = [&](int r) { return r < keys ? first % static_cast<int>(attention_block) + r : -1; };
    copy_rows<Width, warp_keys, 32>(key_tile, from, a.head_size, a.head_size, slot);
    commit_copies();
    copy_rows<Width, warp_keys, 32>(value_tile, from + a.values(), a.head_size, a.head_size, slot);
    commit_copies();
    wait_for_copies<1>();
  } else {
    commit_copies();
    wait_for_copies<0>();
  }
  __syncthreads();  // all warps read the queries

  Sums sums[Width / 8] = {};
  float maximum[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
  if (keys > 0) {
    Sums scores[warp_keys / 8] = {};
#pragma unroll
    for (int k = 0; k < Width / 16; ++k) {
      LeftFragment left;
      load_left(left, queries, k);
      multiply_by_rows<warp_keys / 16>(scores, left, key_tile, k);
    }
    const float exponent_scale = a.scale * log2_e;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float highest = -INFINITY;
#pragma unroll
      for (int n = 0; n < warp_keys / 8; ++n)
#pragma unroll
        for (int j = 2 * half; j < 2 * half + 2; ++j) {
          if (n * 8 + lane % 4 * 2 + j % 2 >= keys) scores[n][j] = -INFINITY;
          highest = fmaxf(highest, scores[n][j]);
        }
      highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
      highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
      maximum[half] = highest * exponent_scale;
#pragma unroll
      for (int n = 0; n < warp_keys / 8; ++n)
#pragma unroll
        for (int j = 2 * half; j < 2 * half + 2; ++j) {
          scores[n][j] = exp2_approximate(fmaf(scores[n][j], exponent_scale, -maximum[half]));
          total[half] += scores[n][j];
        }
      total[half] += __shfl_xor_sync(~0u, total[half], 1);
      total[half] += __shfl_xor_sync(~0u, total[half], 2);
    }
    wait_for_copies<0>();
    __syncwarp();
#pragma unroll
    for (int k = 0; k < warp_keys / 16; ++k) {
      LeftFragment weights;
      round_to_left(weights, scores[2 * k], scores[2 * k + 1]);
      multiply_by_columns(sums, weights, value_tile.from_row(16 * k));
    }
  }
  if (lane % 4 == 0)
#pragma unroll
    for (int half = 0; half < 2; ++half) warp_totals[warp][lane / 4 + half * 8] = make_float2(maximum[half], total[half]);
  __syncthreads();

  // The first warp always has keys, so the maximum of all is a number.
  const auto part_total = [&](int r) {
    float2 all = make_float2(-INFINITY, 0.0f);
    for (int w = 0; w < 4; ++w) all.x = fmaxf(all.x, warp_totals[w][r].x);
    for (int w = 0; w < 4; ++w) all.y = fmaf(warp_totals[w][r].y, exp2_approximate(warp_totals[w][r].x - all.x), all.y);
    return all;
  };
  // Eight more than a row is long: the rows of a warp's store in different banks.
  constexpr int step = Width + 8;
  float* warp_sums = reinterpret_cast<float*>(shared + Tile<Width>::bytes(head_rows));
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = lane / 4 + half * 8;
    if (r >= heads) continue;
    const float factor = exp2_approximate(maximum[half] - part_total(r).x);
    float* to = warp_sums + (warp * head_rows + r) * step + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < Width / 8; ++n)
      *reinterpret_cast<float2*>(to + n * 8) = make_float2(sums[n][2 * half] * factor, sums[n][2 * half + 1] * factor);
  }
  __syncthreads();
  const int64_t place = (static_cast<int64_t>(row) * a.heads + first_head) * parts.count + part;
  for (int i = threadIdx.x; i < heads * (Width / 4); i += tile_threads) {
    const int r = i / (Width / 4), c = i % (Width / 4) * 4;
    if (c >= a.head_size) continue;
    float sum[4] = {};
    for (int w = 0; w < 4; ++w) {
      float of_warp[4];
      load(warp_sums + (w * head_rows + r) * step + c, of_warp);
#pragma unroll
      for (int e = 0; e < 4; ++e) sum[e] += of_warp[e];
    }
    store(parts.sums + (place + r * parts.count) * a.head_size + c, sum);
  }
  if (static_cast<int>(threadIdx.x) < heads) parts.totals[place + threadIdx.x * parts.count] = part_total(threadIdx.x);
}

/**
 * Adds up the parts of a row and head, in order, and divides. Grid: (groups of 4 heads, B): a warp per head, four elements per
 * lane. Registers (sm_80): 126; no shared memory.
 */
__global__ void __launch_bounds__(row_kernel_threads, row_blocks)
    attention_decode_combine_kernel(bf16* __restrict__ out, const int32_t* __restrict__ lengths, const DecodeParts parts, int heads,
                                    int head_size) {
  const int row = static_cast<int>(blockIdx.y), head = static_cast<int>(blockIdx.x) * rows_per_block + static_cast<int>(threadIdx.x) / 32;
  const int c = threadIdx.x % 32 * 4;
  if (head >= heads || c >= head_size) return;
  bf16* to = out + (static_cast<int64_t>(row) * heads + head) * head_size + c;
  if (lengths[row] == 0) return store(to, {0.0f, 0.0f, 0.0f, 0.0f});
  const int count = (lengths[row] + part_keys - 1) / part_keys;
  const int64_t place = (static_cast<int64_t>(row) * heads + head) * parts.count;
  float maximum = -INFINITY;
  for (int part = 0; part < count; ++part) maximum = fmaxf(maximum, parts.totals[place + part].x);
  float total = 0.0f, sum[4] = {};
  for (int part = 0; part < count; ++part) {
    const float2 of_part = parts.totals[place + part];
    const float factor = exp2_approximate(of_part.x - maximum);
    total = fmaf(of_part.y, factor, total);
    float x[4];
    load(parts.sums + (place + part) * head_size + c, x);
#pragma unroll
    for (int e = 0; e < 4; ++e) sum[e] = fmaf(x[e], factor, sum[e]);
  }
#pragma unroll
  for (int e = 0; e < 4; ++e) sum[e] /= total;
  store(to, sum);
}

/**
 * A warp per row and head over all its keys: bit for bit what `attention` computes by rows. Grid: (groups of 4 heads, B).
 * Registers (sm_80): at most 52; no shared memory.
 */
template <class T, int Columns>
__global__ void __launch_bounds__(row_kernel_threads, row_blocks)
    attention_decode_row_kernel(const PagedAttention<T> a, T* __restrict__ out) {
  const int row = static_cast<int>(blockIdx.y), head = static_cast<int>(blockIdx.x) * rows_per_block + static_cast<int>(threadIdx.x) / 32;
  if (head >= a.heads) return;
  const auto key_value = [&](int position) {
    constexpr int block = attention_block;
    const T* key = a.keys(row, position / block, head / a.group()) + position % block * a.head_size;
    return KeyValue<T>{key, key + a.values()};
  };
  T* to = out + (static_cast<int64_t>(row) * a.heads + head) * a.head_size;
  if (a.lengths[row] == 0) return WarpRow<Columns>().store(to, a.head_size, 0.0f);
  const auto result = attend_row<Columns>(a.query(row, head), a.lengths[row], key_value, a.head_size, a.scale);
  result.sums.store(to, a.head_size, 1.0f / result.total);
}

template <class T>
PagedAttention<T> paged_attention(const AttentionDecodeArgs& args) {
  return {args.qkv.as<T>(),
          args.pages.device,
          args.lengths.device,
          static_cast<int>(args.max_pages),
          static_cast<int>(args.heads),
          static_cast<int>(args.kv_heads),
          static_cast<int>(args.head_size),
          args.layer_offset,
          args.scale};
}

/**
 * The key and value of a row to its slot of its page. Grid: N. Registers (sm_80): at most 32; no shared memory. Both are read as they lie, behind the queries, and each head's is
 * written as one run.
 */
template <class T, int Elements>
__global__ void __launch_bounds__(256)
    kv_write_row_kernel(const T* __restrict__ qkv, void* const* __restrict__ pages, const int32_t* __restrict__ slots, int64_t layer_offset,
                        int heads, int kv_heads, int head_size) {
  const int row = static_cast<int>(blockIdx.x), size = 2 * kv_heads * head_size;
  const T* from = qkv + (static_cast<int64_t>(row) * (heads + 2 * kv_heads) + heads) * head_size;
  if (pages[row] == nullptr) return;
  T* layer = static_cast<T*>(pages[row]) + layer_offset;
  const int64_t slot = slots[row];
  for (int i = static_cast<int>(threadIdx.x) * Elements; i < size; i += static_cast<int>(blockDim.x) * Elements) {
    float x[Elements];
    load(from + i, x);
    store(layer + (i / head_size * attention_block + slot) * head_size + i % head_size, x);
  }
}

}  // namespace

void attention_decode(CudaContext& context, const AttentionDecodeArgs& args) {
  require_one_type("attention_decode", "qkv and out", {args.qkv.type, args.out.type});
  const auto rows = static_cast<unsigned>(args.rows), heads = static_cast<unsigned>(args.heads);
  const dim3 row_grid((heads + rows_per_block - 1) / rows_per_block, rows);
  if (!fits_tiles(args.head_size, args.qkv, args.out) || args.layer_offset % 8 != 0)
    return with_row_kernel(args.qkv.type, args.head_size, [&](auto stored, auto columns) {
      using T = typename decltype(stored)::type;
      context.launch(attention_decode_row_kernel<T, columns.value>, row_grid, dim3(row_kernel_threads), 0, paged_attention<T>(args),
                     args.out.as<T>());
    });
  const int64_t keys = args.max_pages * attention_block, count = (keys + part_keys - 1) / part_keys;
  const int64_t group = args.heads / args.kv_heads, head_tiles = (group + head_rows - 1) / head_rows;
  const DecodeParts parts{context.scratch_array<float2>(args.rows * args.heads * count),
                          context.scratch_array<float>(args.rows * args.heads * count * args.head_size), static_cast<int>(count)};
  const dim3 grid(static_cast<unsigned>(args.kv_heads * head_tiles), static_cast<unsigned>(count), rows);
  with_tile_width(args.head_size, [&]<int Width>() {
    context.launch(attention_decode_part_kernel<Width>, grid, dim3(tile_threads), part_bytes<Width>, paged_attention<bf16>(args),
                   parts);
  });
  context.launch(attention_decode_combine_kernel, row_grid, dim3(row_kernel_threads), 0, args.out.as<bf16>(), args.lengths.device,
                 parts, static_cast<int>(args.heads), static_cast<int>(args.head_size));
}

void kv_write(CudaContext& context, const KvWriteArgs& args) {
  with_type(args.qkv.type, [&](auto stored) {
    using T = typename decltype(stored)::type;
    // Vectors must fit a head's row and the layer's place in a page; the page itself is aligned by its allocation.
    with_width(
        [&](auto width) {
          const unsigned threads = row_threads(2 * args.kv_heads * args.head_size / width.value);
          context.launch(kv_write_row_kernel<T, width.value>, dim3(static_cast<unsigned>(args.rows)), dim3(threads), 0,
                         args.qkv.as<T>(), args.pages.device, args.slots.device, args.layer_offset, static_cast<int>(args.heads),
                         static_cast<int>(args.kv_heads), static_cast<int>(args.head_size));
        },
        args.head_size | args.layer_offset, args.qkv.as<T>());
  });
}

}  // namespace sightline::cuda
