#pragma once

// Attention by rows: a warp per row, for whatever the tensor-core kernels do not take: fp32, and heads of any size. Included by
// op sources only.

#include <cuda_runtime.h>

#include <cstdint>

#include "core/error.h"
#include "cuda/elements.cuh"
#include "cuda/reduce.cuh"
#include "ops/attention_tiles.cuh"

namespace sightline::cuda {

/** Rows of a block's warps. */
inline constexpr int rows_per_block = 4;
inline constexpr int row_kernel_threads = rows_per_block * 32;
/** Blocks that a multiprocessor is to hold: registers for the widest heads; left to itself, ptxas spills to have more blocks. */
inline constexpr int row_blocks = 4;
inline constexpr int64_t max_row_head_size = 256;

/** A row of head_size elements, spread over a warp: lane l holds elements l, l + 32, ...; zeros behind the last. */
template <int Columns>
struct WarpRow {
  float x[Columns] = {};

  template <class T>
  __device__ static WarpRow load(const T* row, int head_size) {
    WarpRow loaded;
#pragma unroll
    for (int c = 0; c < Columns; ++c) {
      float element[1] = {0.0f};
      if (const int at = threadIdx.x % 32 + 32 * c; at < head_size) cuda::load(row + at, element);
      loaded.x[c] = element[0];
    }
    return loaded;
  }
  template <class T>
  __device__ void store(T* row, int head_size, float factor) const {
#pragma unroll
    for (int c = 0; c < Columns; ++c) {
      const float element[1] = {x[c] * factor};
      if (const int at = threadIdx.x % 32 + 32 * c; at < head_size) cuda::store(row + at, element);
    }
  }
  __device__ void add(float factor, const WarpRow& other) {
#pragma unroll
    for (int c = 0; c < Columns; ++c) x[c] = fmaf(factor, other.x[c], x[c]);
  }
  /** Columns first, then the tree of the warp. */
  __device__ float dot(const WarpRow& other) const {
    float sum = 0.0f;
#pragma unroll
    for (int c = 0; c < Columns; ++c) sum = fmaf(x[c], other.x[c], sum);
    return warp_sum(sum);
  }
};

/** A key and its value. */
template <class T>
struct KeyValue {
  const T* key;
  const T* value;
};

/** What attention gives for a row: sums / total, and the logarithm of the sum of exponentials. */
template <int Columns>
struct AttendedRow {
  WarpRow<Columns> sums;
  float total, log_sum_exp;
};

/**
 * One row over `keys` keys, at least one, by one warp. Keys are taken 32 at a time, with a running maximum and sum; within
 * them the weights are summed by the warp's tree and the weighted values in order.
 *
 * @param key_value  key_value(position): KeyValue of the position
 */
template <int Columns, class T, class KeyValueOf>
__device__ inline AttendedRow<Columns> attend_row(const T* query, int keys, const KeyValueOf& key_value, int head_size, float scale) {
  const int lane = threadIdx.x % 32;
  const auto q = WarpRow<Columns>::load(query, head_size);
  AttendedRow<Columns> result = {};
  float maximum = -INFINITY;
  for (int first = 0; first < keys; first += 32) {
    const int count = min(32, keys - first);
    float score = -INFINITY;
    for (int s = 0; s < count; ++s) {
      const float product = q.dot(WarpRow<Columns>::load(key_value(first + s).key, head_size));
      if (lane == s) score = product * (scale * log2_e);
    }
    const float highest = fmaxf(maximum, warp_max(score));
    const float correction = exp2f(maximum - highest), weight = exp2f(score - highest);
    maximum = highest;
    result.total = fmaf(result.total, correction, warp_sum(weight));
#pragma unroll
    for (int c = 0; c < Columns; ++c) result.sums.x[c] *= correction;
    for (int s = 0; s < count; ++s)
      result.sums.add(__shfl_sync(all_lanes, weight, s), WarpRow<Columns>::load(key_value(first + s).value, head_size));
  }
  result.log_sum_exp = fmaf(maximum, ln_2, logf(result.total));
  return result;
}

/**
 * Calls body(Type<T>(), std::integral_constant<int, Columns>()) for the stored type and the columns of a lane.
 *
 * @throws Error for heads beyond `max_row_head_size`
 */
template <class Body>
void with_row_kernel(DType type, int64_t head_size, const Body& body) {
  require(head_size <= max_row_head_size, "head_size: attention takes at most ", max_row_head_size, ", received ", head_size);
  with_type(type, [&](auto stored) {
    if (head_size <= 32) return body(stored, std::integral_constant<int, 1>());
    if (head_size <= 64) return body(stored, std::integral_constant<int, 2>());
    if (head_size <= 128) return body(stored, std::integral_constant<int, 4>());
    return body(stored, std::integral_constant<int, 8>());
  });
}

}  // namespace sightline::cuda
