#include "ops/gelu.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

constexpr float sqrt_2_over_pi = 0.7978845608f;
constexpr float cubic = 0.044715f;

/** exp(-2 u): (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)) keeps its accuracy where tanh u is near -1. */
inline Vec exp_minus_2u(Vec x) {
  return exp(broadcast(-2.0f * sqrt_2_over_pi) * fma(broadcast(cubic) * x * x, x, x));
}

}  // namespace

void gelu(CpuContext& context, const GeluArgs& a) {
  require_one_type("gelu", "x and y", {a.x.type, a.y.type});
  with_type(a.x.type, [&]<class T>(T) {
    for_element_blocks(context, a.count, [&](RowBlock block) {
      const T* x = a.x.as<T>() + block.first;
      T* y = a.y.as<T>() + block.first;
      for_vectors(block.last - block.first, [&](int64_t i, auto n) {
        const Vec v = load(x + i, n);
        store(y + i, v / (broadcast(1.0f) + exp_minus_2u(v)), n);
      });
    });
  });
}

void gelu_backward(CpuContext& context, const GeluBackwardArgs& a) {
  require_one_type("gelu_backward", "dy, x and dx", {a.dy.type, a.x.type, a.dx.type});
  with_type(a.x.type, [&]<class T>(T) {
    for_element_blocks(context, a.count, [&](RowBlock block) {
      const T* dy = a.dy.as<T>() + block.first;
      const T* x = a.x.as<T>() + block.first;
      T* dx = a.dx.as<T>() + block.first;
      for_vectors(block.last - block.first, [&](int64_t i, auto n) {
        const Vec v = load(x + i, n);
        const Vec e = exp_minus_2u(v);
        const Vec s = broadcast(1.0f) / (broadcast(1.0f) + e);
        // 1 - s without cancellation; where e is infinite, s is 0.
        const Vec rest = e < broadcast(1e30f) ? e * s : broadcast(1.0f);
        const Vec du = broadcast(sqrt_2_over_pi) * fma(broadcast(3.0f * cubic) * v, v, broadcast(1.0f));
        // d(x s)/dx, where ds/du = 2 s (1 - s).
        const Vec derivative = fma(broadcast(2.0f) * (s * rest) * v, du, s);
        store(dx + i, load(dy + i, n) * derivative, n);
      });
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
