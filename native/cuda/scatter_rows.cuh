#pragma once

// Adding rows to rows that an index names, where indices may repeat: without atomics, in order. Included by .cu files.

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "cuda/reduce.cuh"

namespace sightline::cuda {

/**
 * For the rows n of x that share an index: target.row(index) += target.scale(index) * x[n], in order of n, as one fp32 sum that is
 * rounded once to the stored type.
 *
 * A warp takes one row n and 4 vectors per lane of its columns. If an earlier row has the same index, that row's warp does the
 * work; else it reads on through the indices, 32 at a time, and adds the rows whose index is the same. Every warp reads at most
 * all the indices, which are in L1 (14 KB for 3 500 rows); that costs less than sorting them on the host and sending the order.
 * Blocks of 8 warps that share nothing; no barriers. Three blocks per multiprocessor leave 80 registers, so that sums stay in them.
 */
template <int width, class X, class Target>
__global__ void __launch_bounds__(256, 3) scatter_rows_kernel(const X* x, const int32_t* indices, Target target, int64_t rows,
                                                           int64_t columns) {
  constexpr int vectors = 4;
  constexpr int64_t warp_columns = warp_lanes * width * vectors;
  const unsigned lane = threadIdx.x % warp_lanes;
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * (blockDim.x / warp_lanes) + threadIdx.x / warp_lanes;
  const int64_t parts = (columns + warp_columns - 1) / warp_columns;
  const int64_t row = warp / parts;
  if (row >= rows) return;
  const int32_t index = indices[row];
  auto* to = target.row(index, columns);
  if (!to) return;
  for (int64_t first = 0; first < row; first += warp_lanes) {
    const bool same = first + lane < row && indices[first + lane] == index;
    if (__any_sync(all_lanes, same)) return;
  }

  const int64_t column = warp % parts * warp_columns + lane * width;
  float sums[vectors][width] = {};
  const auto for_vectors = [&](const auto& body) {
#pragma unroll
    for (int v = 0; v < vectors; ++v)
      if (const int64_t c = column + v * warp_lanes * width; c < columns) body(c, sums[v]);
  };
  for_vectors([&](int64_t c, float(&sum)[width]) { load(to + c, sum); });
  const float scale = target.scale(index);
  for (int64_t first = row / warp_lanes * warp_lanes; first < rows; first += warp_lanes) {
    const bool same = first + lane >= row && first + lane < rows && indices[first + lane] == index;
    for (unsigned found = __ballot_sync(all_lanes, same); found != 0; found &= found - 1) {
      const X* from = x + (first + __ffs(static_cast<int>(found)) - 1) * columns;
      for_vectors([&](int64_t c, float(&sum)[width]) {
        float values[width];
        load(from + c, values);
#pragma unroll
        for (int j = 0; j < width; ++j) sum[j] += scale * values[j];
      });
    }
  }
  for_vectors([&](int64_t c, float(&sum)[width]) { store(to + c, sum); });
}

/** @param arrays  x and what the target's rows begin in: accessed by vectors where all are aligned */
template <class X, class Target, class... Arrays>
void launch_scatter_rows(CudaContext& context, const X* x, const int32_t* indices, const Target& target, int64_t rows, int64_t columns,
                         const Arrays*... arrays) {
  with_width(
      [&](auto width) {
        constexpr int64_t warp_columns = warp_lanes * width() * 4, warps = 8;
        const int64_t tasks = rows * ((columns + warp_columns - 1) / warp_columns);
        context.launch(scatter_rows_kernel<width(), X, Target>, dim3(static_cast<unsigned>((tasks + warps - 1) / warps)),
                       dim3(warps * warp_lanes), 0, x, indices, target, rows, columns);
      },
      columns, x, arrays...);
}

}  // namespace sightline::cuda
