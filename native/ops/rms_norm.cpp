#include "ops/rms_norm.h"

#include <cmath>

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void rms_norm(CpuContext& context, const RmsNormArgs& a) {
  with_type(a.y.type, [&]<class T>(T) {
    for_row_blocks(context, a.rows, a.columns, [&](RowBlock block) {
      const int64_t columns = a.columns;
      const float* weight = a.weight;
      for (int64_t row = block.first; row < block.last; ++row) {
        const float* x = a.x + row * columns;
        T* y = a.y.as<T>() + row * columns;
        const float squares = sum_vectors(columns, [&](int64_t i, auto n) {
          const Vec v = load(x + i, n);
          return v * v;
        });
        const float rstd = 1.0f / std::sqrt(squares / static_cast<float>(columns) + a.epsilon);
        a.rstd[row] = rstd;
        for_vectors(columns, [&](int64_t i, auto n) {
          store(y + i, load(x + i, n) * broadcast(rstd) * load(weight + i, n), n);
        });
      }
    });
  });
}

void rms_norm_backward(CpuContext& context, const RmsNormBackwardArgs& a) {
  const int64_t blocks = row_block_count(a.rows, a.columns);
  float* partials = a.dweight ? context.shared_scratch(blocks * a.columns) : nullptr;
  with_type(a.dy.type, [&]<class T>(T) {
    for_row_blocks(context, a.rows, a.columns, [&](RowBlock block) {
      const int64_t columns = a.columns;
      const float* weight = a.weight;
      float* dweight = partials ? partials + block.index * columns : nullptr;
      if (dweight) clear_row(dweight, columns);
      for (int64_t row = block.first; row < block.last; ++row) {
        const T* dy = a.dy.as<T>() + row * columns;
        const float* x = a.x + row * columns;
        float* dx = a.dx + row * columns;
        const Vec rstd = broadcast(a.rstd[row]);
        const float sum_gh = sum_vectors(columns, [&](int64_t i, auto n) {
          return load(dy + i, n) * load(weight + i, n) * (load(x + i, n) * rstd);
        });
        const Vec mean_gh = broadcast(sum_gh / static_cast<float>(columns));
        for_vectors(columns, [&](int64_t i, auto n) {
          const Vec g = load(dy + i, n) * load(weight + i, n);
          const Vec h = load(x + i, n) * rstd;
          store(dx + i, load(dx + i, n) + rstd * (g - h * mean_gh), n);
        });
        if (dweight)
          for_vectors(columns, [&](int64_t i, auto n) {
            store(dweight + i, load(dweight + i, n) + load(dy + i, n) * (load(x + i, n) * rstd), n);
          });
      }
    });
  });
  if (partials) add_partials(partials, blocks, a.columns, a.dweight);
}

}  // namespace sightline::SIGHTLINE_ISA
