#include "ops/rope.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void rope(CpuContext& context, const RopeArgs& a) {
  int64_t positions = 1;
  for (int64_t i = 0; i < a.rows * a.axes; ++i) positions = max(positions, a.positions[i] + int64_t{1});
  const int64_t period = a.period();
  const float* table = context.rope_table().rows(positions, 2 * period, a.theta);
  const Vec direction = broadcast(a.inverse ? -1.0f : 1.0f);
  with_type(a.x.type, [&]<class T>(T) {
    for_row_blocks(context, a.rows, a.heads * a.head_size, [&](RowBlock block) {
      const int64_t half = a.head_size / 2;
      for (int64_t row = block.first; row < block.last; ++row)
        for (int64_t axis = 0; axis < a.axes; ++axis) {
          const int64_t first = a.first_of(axis), count = a.first_of(axis + 1) - first;
          const float* cosines = table + a.positions[row * a.axes + axis] * 2 * period + (a.restarts ? 0 : first);
          const float* sines = cosines + period;
          for (int64_t head = 0; head < a.heads; ++head) {
            T* low = a.x.as<T>() + row * a.row_stride + head * a.head_size + first;
            T* high = low + half;
            for_vectors(count, [&](int64_t k, auto n) {
              const Vec x = load(low + k, n), y = load(high + k, n);
              const Vec cosine = load(cosines + k, n), sine = load(sines + k, n) * direction;
              store(low + k, x * cosine - y * sine, n);
              store(high + k, y * cosine + x * sine, n);
            });
          }
        }
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
