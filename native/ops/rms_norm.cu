#include "ops/rms_norm.h"

#include "cuda/column_sums.cuh"
#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "cuda/reduce.cuh"

// One block per row: at most 256 threads take the row's vectors in turn, and the block's sum is a tree over them, so that a row's
// bits depend on that row alone. The row is read a second time to be scaled; by then it is in L1 (16 KB at C = 4096). x, dx and
// the weight are fp32, y and dy the stored type. Bound by memory traffic. Registers on sm_80: at most 38. Shared memory:
// 128 bytes of partial sums.

namespace sightline::cuda {

template <int width, class T>
__global__ void __launch_bounds__(256) rms_norm_rows_kernel(const float* x, const float* weight, T* y, float* rstd, int64_t columns,
                                                            float epsilon) {
  const float* from = x + blockIdx.x * columns;
  float squares = 0.0f;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float v[width];
    load(from + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) squares = fmaf(v[j], v[j], squares);
  }
  squares = block_sum(squares);
  const float scale = 1.0f / sqrtf(squares / static_cast<float>(columns) + epsilon);
  if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
  T* to = y + blockIdx.x * columns;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float v[width], w[width];
    load(from + i, v);
    load(weight + i, w);
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] = v[j] * scale * w[j];
    store(to + i, v);
  }
}

template <int width, class T>
__global__ void __launch_bounds__(256) rms_norm_backward_rows_kernel(const T* dy, const float* x, const float* weight,
                                                                     const float* rstd, float* dx, int64_t columns) {
  const int64_t row = blockIdx.x * columns;
  const float scale = rstd[blockIdx.x];
  float sum = 0.0f;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float g[width], w[width], v[width];
    load(dy + row + i, g);
    load(weight + i, w);
    load(x + row + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) sum = fmaf(g[j] * w[j], v[j] * scale, sum);
  }
  const float mean = block_sum(sum) / static_cast<float>(columns);
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float g[width], w[width], v[width], d[width];
    load(dy + row + i, g);
    load(weight + i, w);
    load(x + row + i, v);
    load(dx + row + i, d);
#pragma unroll
    for (int j = 0; j < width; ++j) d[j] += scale * (g[j] * w[j] - v[j] * scale * mean);
    store(dx + row + i, d);
  }
}

namespace {

/** dy * h, whose sum over rows is dweight. */
template <class T>
struct WeightGradient {
  static constexpr int count = 1;
  const T* dy;
  const float* x;
  const float* rstd;
  int64_t columns;

  template <int width>
  __device__ void at(int64_t row, int64_t column, float (&values)[count][width]) const {
    float v[width];
    load(dy + row * columns + column, values[0]);
    load(x + row * columns + column, v);
    const float scale = rstd[row];
#pragma unroll
    for (int j = 0; j < width; ++j) values[0][j] *= v[j] * scale;
  }
};

}  // namespace

void rms_norm(CudaContext& context, const RmsNormArgs& a) {
  with_type(a.y.type, [&]<class T>(Type<T>) {
    T* y = a.y.as<T>();
    with_width(
        [&](auto width) {
          context.launch(rms_norm_rows_kernel<width(), T>, dim3(static_cast<unsigned>(a.rows)),
                         dim3(row_threads(a.columns / width())), 0, a.x, a.weight, y, a.rstd, a.columns, a.epsilon);
        },
        a.columns, a.x, a.weight, y);
  });
}

void rms_norm_backward(CudaContext& context, const RmsNormBackwardArgs& a) {
  with_type(a.dy.type, [&]<class T>(Type<T>) {
    const T* dy = a.dy.as<T>();
    with_width(
        [&](auto width) {
          context.launch(rms_norm_backward_rows_kernel<width(), T>, dim3(static_cast<unsigned>(a.rows)),
                         dim3(row_threads(a.columns / width())), 0, dy, a.x, a.weight, a.rstd, a.dx, a.columns);
        },
        a.columns, a.x, a.weight, dy, a.dx);
    if (!a.dweight) return;
    add_column_sums<vector_width<T, float>>(context, WeightGradient<T>{dy, a.x, a.rstd, a.columns}, vectors_fit(a.columns, dy, a.x),
                                            a.rows, a.columns, {a.dweight});
  });
}

}  // namespace sightline::cuda
