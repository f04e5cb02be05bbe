#include "ops/embed.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void embed(CpuContext& context, const EmbedArgs& a) {
  for_row_blocks(context, a.rows, a.columns, [&](RowBlock block) {
    const int64_t columns = a.columns;
    for (int64_t row = block.first; row < block.last; ++row) {
      const int64_t id = a.ids[row];
      const ConstElements stored = id >= 0 ? a.table.at(id * columns) : a.features.at((-1 - id) * columns);
      const Vec scale = broadcast(id >= 0 ? a.scale : 1.0f);
      float* y = a.y + row * columns;
      with_type(stored.type, [&]<class T>(T) {
        const T* from = stored.as<T>();
        for_vectors(columns, [&](int64_t i, auto n) { store(y + i, load(from + i, n) * scale, n); });
      });
    }
  });
}

void embed_backward(CpuContext& context, const EmbedBackwardArgs& a) {
  // Rows may share an id, so tasks split the columns: every element is summed in order of n by one task.
  for_column_blocks(context, a.rows, a.columns, [&](int64_t first, int64_t last) {
    for (int64_t row = 0; row < a.rows; ++row) {
      const int64_t id = a.ids[row];
      const Elements table = id >= 0 ? Elements(a.dtable) : a.dfeatures;
      if (!table) continue;
      const Elements to = table.at((id >= 0 ? id : -1 - id) * a.columns + first);
      with_type(to.type, [&]<class T>(T) {
        add_scaled_row(id >= 0 ? a.scale : 1.0f, a.dy + row * a.columns + first, to.as<T>(), last - first);
      });
    }
  });
}

}  // namespace sightline::SIGHTLINE_ISA
