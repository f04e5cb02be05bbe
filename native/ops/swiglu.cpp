#include "ops/swiglu.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

inline Vec sigmoid(Vec z) { return broadcast(1.0f) / (broadcast(1.0f) + exp(-z)); }

}  // namespace

void swiglu(CpuContext& context, const SwigluArgs& a) {
  require_one_type("swiglu", "gate_up and y", {a.gate_up.type, a.y.type});
  with_type(a.gate_up.type, [&]<class T>(T) {
    for_row_blocks(context, a.rows, 2 * a.width, [&](RowBlock block) {
      const int64_t width = a.width;
      for (int64_t row = block.first; row < block.last; ++row) {
        const T* gate = a.gate_up.as<T>() + row * 2 * width;
        const T* up = gate + width;
        T* y = a.y.as<T>() + row * width;
        for_vectors(width, [&](int64_t i, auto n) {
          const Vec z = load(gate + i, n);
          store(y + i, z * sigmoid(z) * load(up + i, n), n);
        });
      }
    });
  });
}

void swiglu_backward(CpuContext& context, const SwigluBackwardArgs& a) {
  require_one_type("swiglu_backward", "dy, gate_up and dgate_up", {a.dy.type, a.gate_up.type, a.dgate_up.type});
  with_type(a.gate_up.type, [&]<class T>(T) {
    for_row_blocks(context, a.rows, 2 * a.width, [&](RowBlock block) {
      const int64_t width = a.width;
      const Vec one = broadcast(1.0f);
      for (int64_t row = block.first; row < block.last; ++row) {
        const T* dy = a.dy.as<T>() + row * width;
        const T* gate = a.gate_up.as<T>() + row * 2 * width;
        const T* up = gate + width;
        T* dgate = a.dgate_up.as<T>() + row * 2 * width;
        T* dup = dgate + width;
        for_vectors(width, [&](int64_t i, auto n) {
          const Vec z = load(gate + i, n);
          const Vec s = sigmoid(z);
          const Vec g = load(dy + i, n);
          const Vec derivative = s * fma(z, one - s, one);
          store(dgate + i, g * load(up + i, n) * derivative, n);
          store(dup + i, g * (z * s), n);
        });
      }
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
