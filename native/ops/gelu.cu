#include "ops/gelu.h"

#include "cuda/elementwise.cuh"

// One thread per 16 bytes (`elementwise_kernel`); bound by memory traffic. Registers on sm_80: at most 40.

namespace sightline::cuda {
namespace {

constexpr float sqrt_2_over_pi = 0.7978845608f;
constexpr float cubic = 0.044715f;
constexpr float quick = 1.702f;

/** share = 1 / (1 + e): what the two logistic forms have in common. */
struct Logistic {
  __device__ explicit Logistic(float exponential) : e(exponential), share(1.0f / (1.0f + e)) {}
  /** 1 - share without cancellation; where e is infinite, the share is 0. */
  __device__ float rest() const { return e < 1e30f ? e * share : 1.0f; }
  float e, share;
};

/** exp(-2 u): (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)) keeps its accuracy where tanh u is near -1. */
__device__ float exp_minus_2u(float x) { return expf(-2.0f * sqrt_2_over_pi * fmaf(cubic * x * x, x, x)); }

template <Activation kind>
__device__ float value_of(float x) {
  if constexpr (kind == Activation::gelu) return x * normcdff(x);
  if constexpr (kind == Activation::gelu_tanh) return x / (1.0f + exp_minus_2u(x));
  if constexpr (kind == Activation::quick_gelu) return x / (1.0f + expf(-quick * x));
}

template <Activation kind>
__device__ float derivative_of(float x) {
  if constexpr (kind == Activation::gelu) {
    constexpr float density = 0.3989422804f;
    return fmaf(density * expf(-0.5f * x * x), x, normcdff(x));
  }
  if constexpr (kind == Activation::gelu_tanh) {
    const Logistic s(exp_minus_2u(x));
    const float du = sqrt_2_over_pi * fmaf(3.0f * cubic * x, x, 1.0f);
    // d(x s)/dx, where ds/du = 2 s (1 - s).
    return fmaf(2.0f * (s.share * s.rest()) * x, du, s.share);
  }
  if constexpr (kind == Activation::quick_gelu) {
    const Logistic s(expf(-quick * x));
    // d(x s)/dx, where ds/dx = 1.702 s (1 - s).
    return fmaf(quick * (s.share * s.rest()), x, s.share);
  }
}

template <Activation kind, class T>
struct Gelu {
  const T* x;
  T* y;

  template <int width>
  __device__ void at(int64_t i) const {
    float v[width];
    load(x + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] = value_of<kind>(v[j]);
    store(y + i, v);
  }
};

template <Activation kind, class T>
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
    for (int j = 0; j < width; ++j) g[j] *= derivative_of<kind>(v[j]);
    store(dx + i, g);
  }
};

}  // namespace

void gelu(CudaContext& context, const GeluArgs& a) {
  require_one_type("gelu", "x and y", {a.x.type, a.y.type});
  with_activation(a.kind, [&](auto kind) {
    with_type(a.x.type, [&]<class T>(Type<T>) {
      launch_elementwise(context, Gelu<kind(), T>{a.x.as<T>(), a.y.as<T>()}, a.count, a.x.as<T>(), a.y.as<T>());
    });
  });
}

void gelu_backward(CudaContext& context, const GeluBackwardArgs& a) {
  require_one_type("gelu_backward", "dy, x and dx", {a.dy.type, a.x.type, a.dx.type});
  with_activation(a.kind, [&](auto kind) {
    with_type(a.x.type, [&]<class T>(Type<T>) {
      launch_elementwise(context, GeluBackward<kind(), T>{a.dy.as<T>(), a.x.as<T>(), a.dx.as<T>()}, a.count, a.dy.as<T>(),
                         a.x.as<T>(), a.dx.as<T>());
    });
  });
}

}  // namespace sightline::cuda
