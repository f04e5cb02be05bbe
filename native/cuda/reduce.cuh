#pragma once

// Sums and maxima over a warp or a block. The order is that of a tree over the threads: it depends on the block's size only,
// and every thread gets the same bits. Blocks are one-dimensional and consist of whole warps.

#include <cstdint>

namespace sightline::cuda {

inline constexpr unsigned warp_lanes = 32;
inline constexpr unsigned all_lanes = 0xffffffffu;
inline constexpr unsigned most_warps = 32;

struct Sum {
  template <class T>
  __device__ T operator()(T x, T y) const {
    return x + y;
  }
};
struct Maximum {
  template <class T>
  __device__ T operator()(T x, T y) const {
    return x > y ? x : y;
  }
};

/** All 32 lanes call it; all get the result. `combine` must be commutative. */
template <class Combine, class T>
__device__ inline T warp_reduce(T x, Combine combine) {
#pragma unroll
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) x = combine(x, __shfl_xor_sync(all_lanes, x, distance));
  return x;
}
template <class T>
__device__ inline T warp_sum(T x) {
  return warp_reduce(x, Sum());
}
template <class T>
__device__ inline T warp_max(T x) {
  return warp_reduce(x, Maximum());
}

/**
 * Reduces `count` values of each thread over the block, in place. All threads call it.
 * Shared memory: count * 32 values. Two barriers (none in a block of one warp); the first lets calls follow one another.
 * @param nothing  what combining with changes nothing
 */
template <class Combine, int count, class T>
__device__ inline void block_reduce(T (&x)[count], Combine combine, T nothing) {
  __shared__ T partials[count][most_warps];
#pragma unroll
  for (int i = 0; i < count; ++i) x[i] = warp_reduce(x[i], combine);
  const unsigned warps = blockDim.x / warp_lanes;
  if (warps == 1) return;
  const unsigned warp = threadIdx.x / warp_lanes, lane = threadIdx.x % warp_lanes;
  __syncthreads();
  if (lane == 0) {
#pragma unroll
    for (int i = 0; i < count; ++i) partials[i][warp] = x[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < count; ++i) x[i] = warp_reduce(lane < warps ? partials[i][lane] : nothing, combine);
}

template <int count, class T>
__device__ inline void block_sum(T (&x)[count]) {
  block_reduce(x, Sum(), T(0));
}
template <class T>
__device__ inline T block_sum(T x) {
  T values[1] = {x};
  block_sum(values);
  return values[0];
}
/** @param least  what no value is below */
template <class T>
__device__ inline T block_max(T x, T least) {
  T values[1] = {x};
  block_reduce(values, Maximum(), least);
  return values[0];
}

}  // namespace sightline::cuda
