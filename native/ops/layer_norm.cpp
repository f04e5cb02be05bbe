#include "ops/layer_norm.h"

#include <cmath>

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void layer_norm(CpuContext& context, const LayerNormArgs& a) {
  with_type(a.y.type, [&]<class T>(T) {
    for_row_blocks(context, a.rows, a.columns, [&](RowBlock block) {
      const int64_t columns = a.columns;
      const float* weight = a.weight;
      const float* bias = a.bias;
      for (int64_t row = block.first; row < block.last; ++row) {
        const float* x = a.x + row * columns;
        T* y = a.y.as<T>() + row * columns;
        const float sum = sum_vectors(columns, [&](int64_t i, auto n) { return load(x + i, n); });
        const float mean = sum / static_cast<float>(columns);
        const float squares = sum_vectors(columns, [&](int64_t i, auto n) {
          const Vec centred = load(x + i, n) - broadcast(mean);
          return centred * centred;
        });
        const float rstd = 1.0f / std::sqrt(squares / static_cast<float>(columns) + a.epsilon);
        a.mean[row] = mean;
        a.rstd[row] = rstd;
        for_vectors(columns, [&](int64_t i, auto n) {
          const Vec h = (load(x + i, n) - broadcast(mean)) * broadcast(rstd);
          store(y + i, fma(h, load(weight + i, n), load(bias + i, n)), n);
        });
      }
    });
  });
}

void layer_norm_backward(CpuContext& context, const LayerNormBackwardArgs& a) {
  const int64_t blocks = row_block_count(a.rows, a.columns);
  const int64_t partial_size = blocks * a.columns;
  float* partials = a.dweight ? context.shared_scratch(2 * partial_size) : nullptr;
  with_type(a.dy.type, [&]<class T>(T) {
    for_row_blocks(context, a.rows, a.columns, [&](RowBlock block) {
      const int64_t columns = a.columns;
      const float* weight = a.weight;
      float* dweight = partials ? partials + block.index * columns : nullptr;
      float* dbias = partials ? dweight + partial_size : nullptr;
      if (partials) {
        clear_row(dweight, columns);
        clear_row(dbias, columns);
      }
      for (int64_t row = block.first; row < block.last; ++row) {
        const T* dy = a.dy.as<T>() + row * columns;
        const float* x = a.x + row * columns;
        float* dx = a.dx + row * columns;
        const Vec mean = broadcast(a.mean[row]);
        const Vec rstd = broadcast(a.rstd[row]);
        const float sum_g =
            sum_vectors(columns, [&](int64_t i, auto n) { return load(dy + i, n) * load(weight + i, n); });
        const float sum_gh = sum_vectors(columns, [&](int64_t i, auto n) {
          return load(dy + i, n) * load(weight + i, n) * ((load(x + i, n) - mean) * rstd);
        });
        const Vec mean_g = broadcast(sum_g / static_cast<float>(columns));
        const Vec mean_gh = broadcast(sum_gh / static_cast<float>(columns));
        for_vectors(columns, [&](int64_t i, auto n) {
          const Vec g = load(dy + i, n) * load(weight + i, n);
          const Vec h = (load(x + i, n) - mean) * rstd;
          store(dx + i, load(dx + i, n) + rstd * (g - mean_g - h * mean_gh), n);
        });
        if (partials)
          for_vectors(columns, [&](int64_t i, auto n) {
            const Vec g = load(dy + i, n);
            const Vec h = (load(x + i, n) - mean) * rstd;
            store(dweight + i, load(dweight + i, n) + g * h, n);
            store(dbias + i, load(dbias + i, n) + g, n);
          });
      }
    });
  });
  if (!partials) return;
  add_partials(partials, blocks, a.columns, a.dweight);
  add_partials(partials + partial_size, blocks, a.columns, a.dbias);
}

}  // namespace sightline::SIGHTLINE_ISA
