#include "ops/rope.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void rope(CpuContext& context, const RopeArgs& a) {
  int64_t positions = 1;
  for (int64_t row = 0; row < a.rows; ++row) positions = max(positions, a.positions[row] + int64_t{1});
  const float* table = context.rope_table().rows(positions, a.head_size, a.theta);
  const Vec direction = broadcast(a.inverse ? -1.0f : 1.0f);
  with_type(a.x.type, [&]<class T>(T) {
    for_row_blocks(context, a.rows, a.heads * a.head_size, [&](RowBlock block) {
      const int64_t half = a.head_size / 2;
      for (int64_t row = block.first; row < block.last; ++row) {
        const float* cosines = table + a.positions[row] * a.head_size;
        const float* sines = cosines + half;
        for (int64_t head = 0; head < a.heads; ++head) {
          T* low = a.x.as<T>() + row * a.row_stride + head * a.head_size;
          T* high = low + half;
          for_vectors(half, [&](int64_t k, auto n) {
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
