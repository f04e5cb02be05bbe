#pragma once

// Sums over rows, one per column, in an order that depends on the number of rows only: the gradients of biases and norm weights.
// Included by .cu files.

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "ops/cuda_scratch.h"

namespace sightline::cuda {

/**
 * partials[s][block][c] = sum over the block's rows of the s-th value of term.at<width>(row, c, values).
 * Grid (columns / (width * block), blocks of rows): a thread owns `width` neighbouring columns, so a warp reads whole sectors of a
 * row and needs no shared memory; rows are unrolled by 4 to have several loads in flight.
 */
template <int width, class Term>
__global__ void __launch_bounds__(128) column_partials_kernel(Term term, float* partials, int64_t rows, int64_t columns) {
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * width;
  if (column >= columns) return;
  float sums[Term::count][width] = {};
  const int64_t first = blockIdx.y * rows_per_partial;
  const int64_t last = first + rows_per_partial < rows ? first + rows_per_partial : rows;
#pragma unroll 4
  for (int64_t row = first; row < last; ++row) {
    float values[Term::count][width];
    term.template at<width>(row, column, values);
#pragma unroll
    for (int s = 0; s < Term::count; ++s)
#pragma unroll
      for (int j = 0; j < width; ++j) sums[s][j] += values[s][j];
  }
#pragma unroll
  for (int s = 0; s < Term::count; ++s)
    store(partials + (static_cast<int64_t>(s) * gridDim.y + blockIdx.y) * columns + column, sums[s]);
}

/** target[c] += partials[0][c] + partials[1][c] + ..., one thread per column. */
static __global__ void __launch_bounds__(128) add_partials_kernel(const float* partials, int64_t blocks, int64_t columns, float* target) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  float sum = 0.0f;
#pragma unroll 4
  for (int64_t block = 0; block < blocks; ++block) sum += partials[block * columns + column];
  target[column] += sum;
}

/**
 * targets[s][c] += the sum over all rows of the s-th value of the term.
 *
 * @param term     has `static constexpr int count` and `template <int width> at(row, column, float (&values)[count][width])`
 * @param vectors  whether the term can read `vector_width` columns at a time
 * @param rows     at most 65535 * rows_per_partial
 */
template <int vector, class Term>
void add_column_sums(CudaContext& context, const Term& term, bool vectors, int64_t rows, int64_t columns,
                     float* const (&targets)[Term::count]) {
  if (rows == 0) return;
  constexpr int threads = 128;
  const int64_t blocks = column_sum_blocks(rows);
  auto* partials = context.scratch_array<float>(Term::count * blocks * columns);
  const auto launch = [&](auto width) {
    const int64_t per_block = threads * width();
    context.launch(column_partials_kernel<width(), Term>,
                   dim3(static_cast<unsigned>((columns + per_block - 1) / per_block), static_cast<unsigned>(blocks)), dim3(threads), 0,
                   term, partials, rows, columns);
  };
  if (vectors)
    launch(std::integral_constant<int, vector>());
  else
    launch(std::integral_constant<int, 1>());
  for (int s = 0; s < Term::count; ++s)
    context.launch(add_partials_kernel, dim3(static_cast<unsigned>((columns + threads - 1) / threads)), dim3(threads), 0,
                   partials + s * blocks * columns, blocks, columns, targets[s]);
}

}  // namespace sightline::cuda
