#include "ops/relu.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void relu(CpuContext& context, const ReluArgs& a) {
  require_one_type("relu", "x and y", {a.x.type, a.y.type});
  with_type(a.x.type, [&]<class T>(T) {
    for_element_blocks(context, a.count, [&](RowBlock block) {
      const T* x = a.x.as<T>() + block.first;
      T* y = a.y.as<T>() + block.first;
      for_vectors(block.last - block.first,
                  [&](int64_t i, auto n) { store(y + i, max(zero(), load(x + i, n)), n); });
    });
  });
}

void relu_backward(CpuContext& context, const ReluBackwardArgs& a) {
  require_one_type("relu_backward", "dy, y and dx", {a.dy.type, a.y.type, a.dx.type});
  with_type(a.y.type, [&]<class T>(T) {
    for_element_blocks(context, a.count, [&](RowBlock block) {
      const T* dy = a.dy.as<T>() + block.first;
      const T* y = a.y.as<T>() + block.first;
      T* dx = a.dx.as<T>() + block.first;
      for_vectors(block.last - block.first, [&](int64_t i, auto n) {
        store(dx + i, load(y + i, n) > zero() ? load(dy + i, n) : zero(), n);
      });
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
