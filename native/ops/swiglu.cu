#include "ops/swiglu.h"

#include "cuda/elementwise.cuh"

// One block per row, whose threads take its vectors in turn: gate and up lie F apart, so a row is the unit that needs no
// division to find them. No shared memory; bound by memory traffic. Registers on sm_80: at most 47.

namespace sightline::cuda {

__device__ inline float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

template <int width, class T>
__global__ void __launch_bounds__(256) swiglu_rows_kernel(const T* gate_up, T* y, int64_t columns) {
  const T* gate = gate_up + blockIdx.x * 2 * columns;
  const T* up = gate + columns;
  T* to = y + blockIdx.x * columns;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float z[width], u[width];
    load(gate + i, z);
    load(up + i, u);
#pragma unroll
    for (int j = 0; j < width; ++j) z[j] = z[j] * sigmoid(z[j]) * u[j];
    store(to + i, z);
  }
}

/** An element of gate_up is read by the thread that writes the same element of dgate_up, so both may be one array. */
template <int width, class T>
__global__ void __launch_bounds__(256) swiglu_backward_rows_kernel(const T* dy, const T* gate_up, T* dgate_up, int64_t columns) {
  const T* from = dy + blockIdx.x * columns;
  const T* gate = gate_up + blockIdx.x * 2 * columns;
  T* dgate = dgate_up + blockIdx.x * 2 * columns;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float g[width], z[width], u[width];
    load(from + i, g);
    load(gate + i, z);
    load(gate + columns + i, u);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      const float s = sigmoid(z[j]);
      const float derivative = s * fmaf(z[j], 1.0f - s, 1.0f);
      u[j] = g[j] * u[j] * derivative;
      z[j] = g[j] * (z[j] * s);
    }
    store(dgate + i, u);
    store(dgate + columns + i, z);
  }
}

void swiglu(CudaContext& context, const SwigluArgs& a) {
  require_one_type("swiglu", "gate_up and y", {a.gate_up.type, a.y.type});
  with_type(a.y.type, [&]<class T>(Type<T>) {
    const T* gate_up = a.gate_up.as<T>();
    T* y = a.y.as<T>();
    with_width(
        [&](auto width) {
          context.launch(swiglu_rows_kernel<width(), T>, dim3(static_cast<unsigned>(a.rows)),
                         dim3(row_threads(a.width / width())), 0, gate_up, y, a.width);
        },
        a.width, gate_up, y);
  });
}

void swiglu_backward(CudaContext& context, const SwigluBackwardArgs& a) {
  require_one_type("swiglu_backward", "dy, gate_up and dgate_up", {a.dy.type, a.gate_up.type, a.dgate_up.type});
  with_type(a.dy.type, [&]<class T>(Type<T>) {
    const T* dy = a.dy.as<T>();
    const T* gate_up = a.gate_up.as<T>();
    T* dgate_up = a.dgate_up.as<T>();
    with_width(
        [&](auto width) {
          context.launch(swiglu_backward_rows_kernel<width(), T>, dim3(static_cast<unsigned>(a.rows)),
                         dim3(row_threads(a.width / width())), 0, dy, gate_up, dgate_up, a.width);
        },
        a.width, dy, gate_up, dgate_up);
  });
}

}  // namespace sightline::cuda
