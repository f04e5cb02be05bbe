#include "ops/relu.h"

#include "cuda/elementwise.cuh"

// One thread per 16 bytes (`elementwise_kernel`); bound by memory traffic. Registers on sm_80: at most 21.

namespace sightline::cuda {
namespace {

template <class T>
struct Relu {
  const T* x;
  T* y;

  template <int width>
  __device__ void at(int64_t i) const {
    float v[width];
    load(x + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] = v[j] < 0.0f ? 0.0f : v[j];  // NaN stays NaN
    store(y + i, v);
  }
};

template <class T>
struct ReluBackward {
  const T* dy;
  const T* y;
  T* dx;

  template <int width>
  __device__ void at(int64_t i) const {
    float g[width], v[width];
    load(dy + i, g);
    load(y + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) g[j] = v[j] > 0.0f ? g[j] : 0.0f;
    store(dx + i, g);
  }
};

}  // namespace

void relu(CudaContext& context, const ReluArgs& a) {
  require_one_type("relu", "x and y", {a.x.type, a.y.type});
  with_type(a.x.type, [&]<class T>(Type<T>) {
    launch_elementwise(context, Relu<T>{a.x.as<T>(), a.y.as<T>()}, a.count, a.x.as<T>(), a.y.as<T>());
  });
}

void relu_backward(CudaContext& context, const ReluBackwardArgs& a) {
  require_one_type("relu_backward", "dy, y and dx", {a.dy.type, a.y.type, a.dx.type});
  with_type(a.y.type, [&]<class T>(Type<T>) {
    launch_elementwise(context, ReluBackward<T>{a.dy.as<T>(), a.y.as<T>(), a.dx.as<T>()}, a.count, a.dy.as<T>(), a.y.as<T>(),
                       a.dx.as<T>());
  });
}

}  // namespace sightline::cuda
