#include "ops/gelu.h"

#include "cuda/elementwise.cuh"

// One thread per 16 bytes (`elementwise_kernel`); bound by memory traffic. Registers on sm_80: at most 32.

namespace sightline::cuda {
namespace {

constexpr float sqrt_2_over_pi = 0.7978845608f;
constexpr float cubic = 0.044715f;

/** exp(-2 u): (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)) keeps its accuracy where tanh u is near -1. */
__device__ float exp_minus_2u(float x) { return expf(-2.0f * sqrt_2_over_pi * fmaf(cubic * x * x, x, x)); }

template <class T>
struct Gelu {
  const T* x;
  T* y;

  template <int width>
  __device__ void at(int64_t i) const {
    float v[width];
    load(x + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] = v[j] / (1.0f + exp_minus_2u(v[j]));
    store(y + i, v);
  }
};

template <class T>
struct GeluBackward {
  const T* dy;
  const T* x;
  T* dx;

  template <int width>
  __device__ void at(int64_t i) const {
    float g[width], v[width];
    load(dy + i, g);
    load(x + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      const float e = exp_minus_2u(v[j]);
      const float s = 1.0f / (1.0f + e);
      // 1 - s without cancellation; where e is infinite, s is 0.
      const float rest = e < 1e30f ? e * s : 1.0f;
      const float du = sqrt_2_over_pi * fmaf(3.0f * cubic * v[j], v[j], 1.0f);
      // d(x s)/dx, where ds/du = 2 s (1 - s).
      g[j] *= fmaf(2.0f * (s * rest) * v[j], du, s);
    }
    store(dx + i, g);
  }
};

}  // namespace

void gelu(CudaContext& context, const GeluArgs& a) {
  require_one_type("gelu", "x and y", {a.x.type, a.y.type});
  with_type(a.x.type, [&]<class T>(Type<T>) {
    launch_elementwise(context, Gelu<T>{a.x.as<T>(), a.y.as<T>()}, a.count, a.x.as<T>(), a.y.as<T>());
  });
}

void gelu_backward(CudaContext& context, const GeluBackwardArgs& a) {
  require_one_type("gelu_backward", "dy, x and dx", {a.dy.type, a.x.type, a.dx.type});
  with_type(a.x.type, [&]<class T>(Type<T>) {
    launch_elementwise(context, GeluBackward<T>{a.dy.as<T>(), a.x.as<T>(), a.dx.as<T>()}, a.count, a.dy.as<T>(), a.x.as<T>(),
                       a.dx.as<T>());
  });
}

}  // namespace sightline::cuda
