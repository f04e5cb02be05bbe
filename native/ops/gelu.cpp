#include "ops/gelu.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

constexpr float sqrt_2_over_pi = 0.7978845608f;
constexpr float cubic = 0.044715f;
constexpr float quick = 1.702f;

/** The function as x * share(x), and its derivative. */
template <Activation kind>
struct Gelu;

/** share = 1 / (1 + e): what the two logistic forms have in common. */
struct Logistic {
  explicit Logistic(Vec exponential) : e(exponential), share(broadcast(1.0f) / (broadcast(1.0f) + e)) {}
  /** 1 - share without cancellation; where e is infinite, the share is 0. */
  Vec rest() const { return e < broadcast(1e30f) ? e * share : broadcast(1.0f); }
  Vec e, share;
};

template <>
struct Gelu<Activation::gelu_tanh> {
  /** exp(-2 u): (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)) keeps its accuracy where tanh u is near -1. */
  static Vec exp_minus_2u(Vec x) {
    return exp(broadcast(-2.0f * sqrt_2_over_pi) * fma(broadcast(cubic) * x * x, x, x));
  }
  static Vec value(Vec x) { return x / (broadcast(1.0f) + exp_minus_2u(x)); }
  static Vec derivative(Vec x) {
    const Logistic s(exp_minus_2u(x));
    const Vec rest = s.rest();
    const Vec du = broadcast(sqrt_2_over_pi) * fma(broadcast(3.0f * cubic) * x, x, broadcast(1.0f));
    // d(x s)/dx, where ds/du = 2 s (1 - s).
    return fma(broadcast(2.0f) * (s.share * rest) * x, du, s.share);
  }
};

template <>
struct Gelu<Activation::quick_gelu> {
  static Vec value(Vec x) { return x / (broadcast(1.0f) + exp(broadcast(-quick) * x)); }
  static Vec derivative(Vec x) {
    const Logistic s(exp(broadcast(-quick) * x));
    // d(x s)/dx, where ds/dx = 1.702 s (1 - s).
    return fma(broadcast(quick) * (s.share * s.rest()), x, s.share);
  }
};

template <>
struct Gelu<Activation::gelu> {
  /** |x|, or where that is larger a number whose square is beyond the reach of exp. */
  static Vec size_of(Vec x) { return min(x < zero() ? zero() - x : x, broadcast(16.0f)); }
  /** exp(p - size^2 / 2). The square of the upper 12 bits of size is exact, so that its rounding does not grow with it. */
  static Vec bell(Vec size, Vec p) {
    const Vec upper = (Vec)((IntVec)size & static_cast<int32_t>(0xfffff000));
    return exp(broadcast(-0.5f) * upper * upper) * exp(fma(broadcast(-0.5f) * (size - upper), size + upper, p));
  }
  /**
   * Phi(-size) = erfc(z) / 2 for z = size / sqrt(2), from erfc(z) = t exp(p(t) - z^2) with t = 1 / (1 + z / 2): p is a
   * Chebyshev fit to log(erfc(z) exp(z^2) / t) on z in [0, 10], off by at most 5e-8.
   */
  static Vec tail(Vec size) {
    constexpr float coefficients[] = {-1.26544797f,  0.998632789f, 0.386640400f, 0.0346028025f, 0.00126758788f,
                                      -0.0802804381f, -0.696251869f, 1.15673375f,  -0.680827200f, 0.144930214f};
    const Vec t = broadcast(1.0f) / fma(size, broadcast(0.3535533906f), broadcast(1.0f));
    Vec p = zero();
    for (int i = 9; i >= 0; --i) p = fma(p, t, broadcast(coefficients[i]));
    return broadcast(0.5f) * t * bell(size, p);
  }
  static Vec share(Vec x) {
    const Vec below = tail(size_of(x));
    return x < zero() ? below : broadcast(1.0f) - below;
  }
  static Vec value(Vec x) { return x * share(x); }
  static Vec derivative(Vec x) {
    constexpr float density = 0.3989422804f;
    return fma(broadcast(density) * bell(size_of(x), zero()), x, share(x));
  }
};

}  // namespace

void gelu(CpuContext& context, const GeluArgs& a) {
  require_one_type("gelu", "x and y", {a.x.type, a.y.type});
  with_activation(a.kind, [&](auto kind) {
    with_type(a.x.type, [&]<class T>(T) {
      for_element_blocks(context, a.count, [&](RowBlock block) {
        const T* x = a.x.as<T>() + block.first;
        T* y = a.y.as<T>() + block.first;
        for_vectors(block.last - block.first,
                    [&](int64_t i, auto n) { store(y + i, Gelu<kind()>::value(load(x + i, n)), n); });
      });
    });
  });
}

void gelu_backward(CpuContext& context, const GeluBackwardArgs& a) {
  require_one_type("gelu_backward", "dy, x and dx", {a.dy.type, a.x.type, a.dx.type});
  with_activation(a.kind, [&](auto kind) {
    with_type(a.x.type, [&]<class T>(T) {
      for_element_blocks(context, a.count, [&](RowBlock block) {
        const T* dy = a.dy.as<T>() + block.first;
        const T* x = a.x.as<T>() + block.first;
        T* dx = a.dx.as<T>() + block.first;
        for_vectors(block.last - block.first, [&](int64_t i, auto n) {
          store(dx + i, load(dy + i, n) * Gelu<kind()>::derivative(load(x + i, n)), n);
        });
      });
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
