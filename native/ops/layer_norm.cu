#include "ops/layer_norm.h"

#include "cuda/column_sums.cuh"
#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "cuda/reduce.cuh"

// One block per row: at most 256 threads take the row's vectors in turn, and the block's sums are trees over them, so that a row's
// bits depend on that row alone. The row is read again for the centred squares and to be scaled, from L1. x, dx and the parameters
// are fp32, y and dy the stored type. Bound by memory traffic. Registers on sm_80: at most 32. Shared memory: 256 bytes
// of partial sums at most.

namespace sightline::cuda {

template <int width, class T>
__global__ void __launch_bounds__(256) layer_norm_rows_kernel(const float* x, const float* weight, const float* bias, T* y, float* mean,
                                                              float* rstd, int64_t columns, float epsilon) {
  const float* from = x + blockIdx.x * columns;
  float sum = 0.0f;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float v[width];
    load(from + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) sum += v[j];
  }
  const float centre = block_sum(sum) / static_cast<float>(columns);
  float squares = 0.0f;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float v[width];
    load(from + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) squares = fmaf(v[j] - centre, v[j] - centre, squares);
  }
  const float scale = 1.0f / sqrtf(block_sum(squares) / static_cast<float>(columns) + epsilon);
  if (threadIdx.x == 0) {
    mean[blockIdx.x] = centre;
    rstd[blockIdx.x] = scale;
  }
  T* to = y + blockIdx.x * columns;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float v[width], w[width], b[width];
    load(from + i, v);
    load(weight + i, w);
    load(bias + i, b);
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] = fmaf((v[j] - centre) * scale, w[j], b[j]);
    store(to + i, v);
  }
}

template <int width, class T>
__global__ void __launch_bounds__(256) layer_norm_backward_rows_kernel(const T* dy, const float* x, const float* weight,
                                                                       const float* mean, const float* rstd, float* dx,
                                                                       int64_t columns) {
  const int64_t row = blockIdx.x * columns;
  const float centre = mean[blockIdx.x], scale = rstd[blockIdx.x];
  float sums[2] = {};  // of g and of g * h
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float g[width], w[width], v[width];
    load(dy + row + i, g);
    load(weight + i, w);
    load(x + row + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      g[j] *= w[j];
      sums[0] += g[j];
      sums[1] = fmaf(g[j], (v[j] - centre) * scale, sums[1]);
    }
  }
  block_sum(sums);
  const float mean_g = sums[0] / static_cast<float>(columns), mean_gh = sums[1] / static_cast<float>(columns);
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float g[width], w[width], v[width], d[width];
    load(dy + row + i, g);
    load(weight + i, w);
    load(x + row + i, v);
    load(dx + row + i, d);
#pragma unroll
    for (int j = 0; j < width; ++j) d[j] += scale * (g[j] * w[j] - mean_g - (v[j] - centre) * scale * mean_gh);
    store(dx + row + i, d);
  }
}

namespace {

/** dy * h and dy, whose sums over rows are dweight and dbias. */
template <class T>
struct ParameterGradients {
  static constexpr int count = 2;
  const T* dy;
  const float* x;
  const float* mean;
  const float* rstd;
  int64_t columns;

  template <int width>
  __device__ void at(int64_t row, int64_t column, float (&values)[count][width]) const {
    load(x + row * columns + column, values[0]);
    load(dy + row * columns + column, values[1]);
    const float centre = mean[row], scale = rstd[row];
#pragma unroll
    for (int j = 0; j < width; ++j) values[0][j] = values[1][j] * ((values[0][j] - centre) * scale);
  }
};

}  // namespace

void layer_norm(CudaContext& context, const LayerNormArgs& a) {
  with_type(a.y.type, [&]<class T>(Type<T>) {
    T* y = a.y.as<T>();
    with_width(
        [&](auto width) {
          context.launch(layer_norm_rows_kernel<width(), T>, dim3(static_cast<unsigned>(a.rows)),
                         dim3(row_threads(a.columns / width())), 0, a.x, a.weight, a.bias, y, a.mean, a.rstd, a.columns, a.epsilon);
        },
        a.columns, a.x, a.weight, a.bias, y);
  });
}

void layer_norm_backward(CudaContext& context, const LayerNormBackwardArgs& a) {
  with_type(a.dy.type, [&]<class T>(Type<T>) {
    const T* dy = a.dy.as<T>();
    with_width(
        [&](auto width) {
          context.launch(layer_norm_backward_rows_kernel<width(), T>, dim3(static_cast<unsigned>(a.rows)),
                         dim3(row_threads(a.columns / width())), 0, dy, a.x, a.weight, a.mean, a.rstd, a.dx, a.columns);
        },
        a.columns, a.x, a.weight, dy, a.dx);
    if (!a.dweight) return;
    add_column_sums<vector_width<T, float>>(context, ParameterGradients<T>{dy, a.x, a.mean, a.rstd, a.columns},
                                            vectors_fit(a.columns, dy, a.x), a.rows, a.columns, {a.dweight, a.dbias});
  });
}

}  // namespace sightline::cuda
