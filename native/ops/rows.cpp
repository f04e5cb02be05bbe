#include "ops/rows.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

void gather_rows(CpuContext& context, const GatherRowsArgs& a) {
  for_row_blocks(context, a.count, a.columns, [&](RowBlock block) {
    for (int64_t row = block.first; row < block.last; ++row) {
      const float* from = a.x.as<float>() + a.indices[row] * a.columns;
      float* y = a.y.as<float>() + row * a.columns;
      for_vectors(a.columns, [&](int64_t i, auto n) { store(y + i, load(from + i, n), n); });
    }
  });
}

void scatter_add_rows(CpuContext& context, const ScatterAddRowsArgs& a) {
  // Indices may repeat, so tasks split the columns: every element is summed in order of i by one task.
  for_column_blocks(context, a.count, a.columns, [&](int64_t first, int64_t last) {
    for (int64_t row = 0; row < a.count; ++row) {
      float* y = a.y.as<float>() + a.indices[row] * a.columns;
      add_scaled_row(a.scale, a.x.as<float>() + row * a.columns + first, y + first, last - first);
    }
  });
}

void sum_rows(CpuContext& context, const SumRowsArgs& a) {
  const int64_t blocks = row_block_count(a.rows, a.columns);
  float* partials = context.shared_scratch(blocks * a.columns);
  for_row_blocks(context, a.rows, a.columns, [&](RowBlock block) {
    float* sums = partials + block.index * a.columns;
    clear_row(sums, a.columns);
    for (int64_t row = block.first; row < block.last; ++row) add_row(a.x.as<float>() + row * a.columns, sums, a.columns);
  });
  add_partials(partials, blocks, a.columns, a.sums);
}

void add(CpuContext& context, const AddArgs& a) {
  for_element_blocks(context, a.count, [&](RowBlock block) {
    add_row(a.x.as<float>() + block.first, a.y.as<float>() + block.first, block.last - block.first);
  });
}

}  // namespace sightline::SIGHTLINE_ISA
