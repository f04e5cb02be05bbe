#include "ops/swiglu.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

inline Vec sigmoid(Vec z) { return broadcast(1.0f) / (broadcast(1.0f) + exp(-z)); }

}  // namespace

void swiglu(CpuContext& context, const SwigluArgs& a) {
  for_row_blocks(context, a.rows, 2 * a.width, [&](RowBlock block) {
    const int64_t width = a.width;
    for (int64_t row = block.first; row < block.last; ++row) {
      const float* gate = a.gate_up.as<float>() + row * 2 * width;
      const float* up = gate + width;
      float* y = a.y.as<float>() + row * width;
      for_vectors(width, [&](int64_t i, auto n) {
        const Vec z = load(gate + i, n);
        store(y + i, z * sigmoid(z) * load(up + i, n), n);
      });
    }
  });
}

void swiglu_backward(CpuContext& context, const SwigluBackwardArgs& a) {
  for_row_blocks(context, a.rows, 2 * a.width, [&](RowBlock block) {
    const int64_t width = a.width;
    const Vec one = broadcast(1.0f);
    for (int64_t row = block.first; row < block.last; ++row) {
      const float* dy = a.dy.as<float>() + row * width;
      const float* gate = a.gate_up.as<float>() + row * 2 * width;
      const float* up = gate + width;
      float* dgate = a.dgate_up.as<float>() + row * 2 * width;
      float* dup = dgate + width;
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
}

}  // namespace sightline::SIGHTLINE_ISA
