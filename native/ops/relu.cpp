#include "ops/relu.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void relu(CpuContext& context, const ReluArgs& a) {
  for_element_blocks(context, a.count, [&](RowBlock block) {
    const float* x = a.x.as<float>() + block.first;
    float* y = a.y.as<float>() + block.first;
    for_vectors(block.last - block.first,
                [&](int64_t i, auto n) { store(y + i, max(zero(), load(x + i, n)), n); });
  });
}

void relu_backward(CpuContext& context, const ReluBackwardArgs& a) {
  for_element_blocks(context, a.count, [&](RowBlock block) {
    const float* dy = a.dy.as<float>() + block.first;
    const float* y = a.y.as<float>() + block.first;
    float* dx = a.dx.as<float>() + block.first;
    for_vectors(block.last - block.first, [&](int64_t i, auto n) {
      store(dx + i, load(y + i, n) > zero() ? load(dy + i, n) : zero(), n);
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
