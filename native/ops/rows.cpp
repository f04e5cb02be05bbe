#include "ops/rows.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void gather_rows(CpuContext& context, const GatherRowsArgs& a) {
  require_one_type("gather_rows", "x and y", {a.x.type, a.y.type});
  with_type(a.x.type, [&]<class T>(T) {
    for_row_blocks(context, a.count, a.columns, [&](RowBlock block) {
      for (int64_t row = block.first; row < block.last; ++row) {
        const T* from = a.x.as<T>() + a.indices[row] * a.columns;
        T* y = a.y.as<T>() + row * a.columns;
        for_vectors(a.columns, [&](int64_t i, auto n) { store(y + i, load(from + i, n), n); });
      }
    });
  });
}

void scatter_add_rows(CpuContext& context, const ScatterAddRowsArgs& a) {
  require_one_type("scatter_add_rows", "x and y", {a.x.type, a.y.type});
  // Indices may repeat, so tasks split the columns: every element is summed in order of i by one task.
  with_type(a.x.type, [&]<class T>(T) {
    for_column_blocks(context, a.count, a.columns, [&](int64_t first, int64_t last) {
      for (int64_t row = 0; row < a.count; ++row) {
        T* y = a.y.as<T>() + a.indices[row] * a.columns;
        add_scaled_row(a.scale, a.x.as<T>() + row * a.columns + first, y + first, last - first);
      }
    });
  });
}

void sum_rows(CpuContext& context, const SumRowsArgs& a) {
  const int64_t blocks = row_block_count(a.rows, a.columns);
  float* partials = context.shared_scratch(blocks * a.columns);
  with_type(a.x.type, [&]<class T>(T) {
    for_row_blocks(context, a.rows, a.columns, [&](RowBlock block) {
      float* sums = partials + block.index * a.columns;
      clear_row(sums, a.columns);
      for (int64_t row = block.first; row < block.last; ++row) add_row(a.x.as<T>() + row * a.columns, sums, a.columns);
    });
  });
  add_partials(partials, blocks, a.columns, a.sums);
}

void add(CpuContext& context, const AddArgs& a) {
  require_one_type("add", "x and y", {a.x.type, a.y.type});
  with_type(a.x.type, [&]<class T>(T) {
    for_element_blocks(context, a.count, [&](RowBlock block) {
      add_row(a.x.as<T>() + block.first, a.y.as<T>() + block.first, block.last - block.first);
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
