#include "ops/attention_backward_rows.cuh"

#include "cuda/cuda_context.h"
#include "ops/attention_rows.cuh"

namespace sightline::cuda {
namespace {

/**
 * dq of a row by a warp: the keys that it sees, by position. Rows that are no queries become zero. Grid: (H, groups of 4 rows of
 * a segment). Registers (sm_80): at most 72; no shared memory.
 */
template <class T, int Columns>
__global__ void __launch_bounds__(row_kernel_threads, row_blocks)
    attention_backward_query_row_kernel(const T* __restrict__ dout, const T* __restrict__ qkv, T* __restrict__ dqkv,
                                        const QueryStatistics statistics, const PackedAttention a) {
  using Row = WarpRow<Columns>;
  const SegmentTile place = find_tile(a, TiledRows::all, rows_per_block, static_cast<int>(blockIdx.y));
  const Segment segment = segment_at(a, place.segment);
  const int t = place.index * rows_per_block + static_cast<int>(threadIdx.x) / 32;
  if (t >= segment.length) return;
  const int head = static_cast<int>(blockIdx.x), row = segment.first + t;
  const int64_t row_stride = a.row_stride(), query = row * row_stride + head * a.head_size;
  Row sum;
  if (t >= segment.first_query) {
    const auto q = Row::load(qkv + query, a.head_size);
    const auto doutput = Row::load(dout + (static_cast<int64_t>(row) * a.heads + head) * a.head_size, a.head_size);
    const float delta = statistics.delta[statistics.at(head, row)], log_sum_exp = statistics.log_sum_exp[statistics.at(head, row)];
    const T* key_head = qkv + (a.heads + head / a.group()) * a.head_size;
    const int keys = segment.visible(t, a.causal);
    for (int position = 0; position < keys; ++position) {
      const T* key = key_head + segment.key_row(position) * row_stride;
      const auto k = Row::load(key, a.head_size), v = Row::load(key + a.kv_heads * a.head_size, a.head_size);
      const float weight = exp2f(fmaf(q.dot(k), a.scale * log2_e, -log_sum_exp));
      sum.add(weight * (doutput.dot(v) - delta), k);
    }
  }
  sum.store(dqkv + query, a.head_size, a.scale);
}

/**
 * dk and dv of a row by a warp: the queries that see it, in the order of QueryWalk. Grid: (G, groups of 4 rows of a segment).
 * Registers (sm_80): at most 80; no shared memory.
 */
template <class T, int Columns>
__global__ void __launch_bounds__(row_kernel_threads, row_blocks)
    attention_backward_key_row_kernel(const T* __restrict__ dout, const T* __restrict__ qkv, T* __restrict__ dqkv,
                                      const QueryStatistics statistics, const PackedAttention a) {
  using Row = WarpRow<Columns>;
  const SegmentTile place = find_tile(a, TiledRows::all, rows_per_block, static_cast<int>(blockIdx.y));
  const Segment segment = segment_at(a, place.segment);
  const int t = place.index * rows_per_block + static_cast<int>(threadIdx.x) / 32;
  if (t >= segment.length) return;
  const int kv_head = static_cast<int>(blockIdx.x);
  const int64_t row_stride = a.row_stride(), key = (segment.first + t) * row_stride + (a.heads + kv_head) * a.head_size;
  const int64_t value = key + a.kv_heads * a.head_size;
  const auto k = Row::load(qkv + key, a.head_size), v = Row::load(qkv + value, a.head_size);
  Row dkey, dvalue;
  for (QueryWalk walk(a, place.segment, t, kv_head, 1); walk.more(); walk.advance(a)) {
    const int row = walk.first + walk.row;
    const auto q = Row::load(qkv + row * row_stride + walk.head * a.head_size, a.head_size);
    const auto doutput = Row::load(dout + (static_cast<int64_t>(row) * a.heads + walk.head) * a.head_size, a.head_size);
    const int64_t at = statistics.at(walk.head, row);
    const float weight = exp2f(fmaf(k.dot(q), a.scale * log2_e, -statistics.log_sum_exp[at]));
    dvalue.add(weight, doutput);
    dkey.add(weight * (v.dot(doutput) - statistics.delta[at]), q);
  }
  dkey.store(dqkv + key, a.head_size, a.scale);
  dvalue.store(dqkv + value, a.head_size, 1.0f);
}

}  // namespace

void attention_backward_by_rows(CudaContext& context, const AttentionBackwardArgs& args, const QueryStatistics& statistics) {
  const PackedAttention a = packed_attention(args);
  const unsigned groups = count_tiles(args, TiledRows::all, rows_per_block);
  with_row_kernel(args.qkv.type, args.head_size, [&](auto stored, auto columns) {
    using T = typename decltype(stored)::type;
    const T *dout = args.dout.as<T>(), *qkv = args.qkv.as<T>();
    context.launch(attention_backward_query_row_kernel<T, columns.value>, dim3(static_cast<unsigned>(args.heads), groups),
                   dim3(row_kernel_threads), 0, dout, qkv, args.dqkv.as<T>(), statistics, a);
    context.launch(attention_backward_key_row_kernel<T, columns.value>, dim3(static_cast<unsigned>(args.kv_heads), groups),
                   dim3(row_kernel_threads), 0, dout, qkv, args.dqkv.as<T>(), statistics, a);
  });
}

}  // namespace sightline::cuda
