#include "ops/matmul.h"

#include "ops/matmul_kernel.h"
#include "ops/matmul_pack.h"
#include "ops/op_table.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

// Rows of A packed at a time: 120 x 512 words fill a quarter of a 1 MB L2 cache.
constexpr int64_t row_block = 120;
static_assert(row_block % tile_rows == 0);

template <Precision P>
struct Packed;
template <>
struct Packed<Precision::fp32> {
  using Words = Fp32Words;
};
template <>
struct Packed<Precision::bf16> {
  using Words = Bf16Words;
};

/** Calls body.template operator()<P>() for the precision asked for. */
template <class Body>
void with_precision(Precision precision, const Body& body) {
  if (precision == Precision::bf16)
    body.template operator()<Precision::bf16>();
  else
    body.template operator()<Precision::fp32>();
}

/** Whether C is written once, without being read, and is more than the caches hold until somebody reads it. */
bool is_streamed(const MatmulArgs& m, int64_t depth_elements) {
  constexpr int64_t cache_elements = 1 << 20;
  const auto aligned = [](int64_t address) { return address % (lanes * static_cast<int64_t>(sizeof(float))) == 0; };
  return m.m * m.n > cache_elements && m.k <= depth_elements && !m.accumulate &&
         aligned(reinterpret_cast<intptr_t>(m.c.data)) && aligned(m.c_row_stride * static_cast<int64_t>(sizeof(float)));
}

/** Where the sums of the tile at (row, column) go; what is added to them is added with the first block along the depth. */
Epilogue epilogue_at(const MatmulArgs& m, int64_t row, int64_t column, bool first, bool streamed) {
  return {m.c.as<float>() + row * m.c_row_stride + column,
          m.c_row_stride,
          m.bias && first ? m.bias + column : nullptr,
          m.addend && first ? m.addend.as<float>() + row * m.addend_row_stride + column : nullptr,
          m.addend_row_stride,
          m.alpha,
          m.accumulate || !first,
          streamed};
}

constexpr int64_t row_tile_size = tile_rows * RowMajorTile::row_stride;

/** Rows [first_row, first_row + rows) of C, panels [first_panel, last_panel), where rows of A lie next to each other. */
template <Precision P>
void multiply_rows(const MatmulArgs& m, const float* packed_b, int64_t first_row, int64_t rows, int64_t first_panel,
                   int64_t last_panel, float* packed_a) {
  const int64_t first_column = first_panel * panel_width;
  const int64_t columns = min(m.n, last_panel * panel_width) - first_column;
  const int64_t panel_stride = words_of<P>(m.k) * panel_width;
  constexpr int64_t depth_elements = depth_block * elements_per_word(P);
  const bool streamed = is_streamed(m, depth_elements);
  for (int64_t k = 0; k < m.k; k += depth_elements) {
    const int64_t depth = min(depth_elements, m.k - k);
    for (int64_t i = 0; i < rows; ++i)
      to_words<P>(m.a.as<float>() + (first_row + i) * m.a_row_stride + k, depth,
                  packed_a + i / tile_rows * row_tile_size + i % tile_rows * RowMajorTile::row_stride);
    // A panel of B stays in the nearest caches while every tile of A passes it; with one tile, all panels pass the tile.
    const int64_t step = rows <= tile_rows ? columns : panel_width;
    for (int64_t j = 0; j < columns; j += step) {
      const float* panel = packed_b + (first_column + j) / panel_width * panel_stride + words_of<P>(k) * panel_width;
      for (int64_t i = 0; i < rows; i += tile_rows)
        multiply_row_major<typename Packed<P>::Words>(min(tile_rows, rows - i), packed_a + i / tile_rows * row_tile_size, panel,
                                                      i + tile_rows >= rows, panel_stride, words_of<P>(depth), min(step, columns - j),
                                                      epilogue_at(m, first_row + i, first_column + j, k == 0, streamed));
    }
  }
  if (streamed) finish_streaming();
}

template <Precision P>
void pack(CpuContext& context, const PackMatrixArgs& args) {
  constexpr int64_t task_words = 1 << 14;  // small matrices are packed by the caller: waking a thread costs more
  const int64_t panels = (args.n + panel_width - 1) / panel_width;
  const int64_t panel_stride = words_of<P>(args.k) * panel_width;
  if (args.b_column_stride == 1) {
    const int64_t words = max(1, task_words / (panels * panel_width)), step = words * elements_per_word(P);
    context.pool().parallel_for((args.k + step - 1) / step, [&](int64_t task, int) {
      const int64_t k = task * step;
      pack_across<P, panel_width>(args.b.as<float>() + k * args.b_row_stride, args.b_row_stride, args.n, min(step, args.k - k),
                                  static_cast<float*>(args.packed) + task * words * panel_width, panel_stride);
    });
  } else {
    const int64_t group = max(1, task_words / (panel_stride + 1));
    context.pool().parallel_for((panels + group - 1) / group, [&](int64_t task, int) {
      for (int64_t panel = task * group; panel < min(panels, (task + 1) * group); ++panel)
        pack_transposed<P, panel_width>(args.b.as<float>() + panel * panel_width * args.b_column_stride, args.b_column_stride,
                                        min(panel_width, args.n - panel * panel_width), args.k,
                                        static_cast<float*>(args.packed) + panel * panel_stride);
    });
  }
}

/** Calls body(task, thread) for every task; small products stay on the caller's thread, for waking another costs more. */
template <class Body>
void for_each_task(CpuContext& context, int64_t tasks, int64_t work, const Body& body) {
  if (work < 100000)
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
  else
    context.pool().parallel_for(tasks, body);
}

/** A with rows next to each other in memory: tasks are blocks of rows, each packed by the thread that takes it. */
template <Precision P>
void multiply_by_rows(CpuContext& context, const MatmulArgs& args) {
  const auto* packed_b = static_cast<const float*>(args.packed_b);
  if (!packed_b) {
    float* packed = context.shared_scratch(matmul_packed_size(this_isa, P, args.k, args.n));
    pack<P>(context, {args.b, args.b_row_stride, args.b_column_stride, packed, args.k, args.n, P});
    packed_b = packed;
  }
  const int64_t panels = (args.n + panel_width - 1) / panel_width;
  // Blocks of whole tiles, evenly filled; where rows alone give too few tasks, columns are split as well. Neither
  // changes the order of any sum.
  const int64_t wanted = context.pool().size() == 1 ? 1 : 4 * context.pool().size();
  const int64_t tiles = (args.m + tile_rows - 1) / tile_rows;
  const int64_t rows_per_block = min(row_block / tile_rows, max(1, tiles / wanted)) * tile_rows;
  const int64_t row_tasks = (args.m + rows_per_block - 1) / rows_per_block;
  const int64_t column_tasks = row_tasks < wanted ? min(panels, (wanted + row_tasks - 1) / row_tasks) : 1;
  for_each_task(context, row_tasks * column_tasks, args.m * args.n * args.k, [&](int64_t task, int thread) {
    const int64_t row = task / column_tasks * rows_per_block, column = task % column_tasks;
    multiply_rows<P>(args, packed_b, row, min(rows_per_block, args.m - row), panels * column / column_tasks,
                     panels * (column + 1) / column_tasks,
                     context.thread_scratch(thread, rows_per_block / tile_rows * row_tile_size));
  });
}

/**
 * A with columns next to each other in memory, the gradient of a weight: along the depth block by block, all threads pack
 * the block of both operands, in whole rows as they lie in memory, then share the tiles of C.
 */
template <Precision P>
void multiply_by_columns(CpuContext& context, const MatmulArgs& args) {
  constexpr int64_t depth_elements = depth_block * elements_per_word(P);
  constexpr int64_t tile_size = depth_block * tile_rows;
  constexpr int64_t steps_per_task = 32 * elements_per_word(P);
  const int64_t tiles = (args.m + tile_rows - 1) / tile_rows, panels = (args.n + panel_width - 1) / panel_width;
  float* packed_a = context.shared_scratch(tiles * tile_size + panels * depth_block * panel_width);
  float* block_of_b = packed_a + tiles * tile_size;
  // Threads take groups of panels, all tiles against each: a panel is read once, A stays in the caches.
  const int64_t wanted = context.pool().size() == 1 ? 1 : 4 * context.pool().size();
  const int64_t panel_tasks = min(panels, wanted), tile_tasks = min(tiles, (wanted + panel_tasks - 1) / panel_tasks);
  for (int64_t k = 0; k < args.k; k += depth_elements) {
    const int64_t depth = min(depth_elements, args.k - k), words = words_of<P>(depth);
    for_each_task(context, (depth + steps_per_task - 1) / steps_per_task, args.m * args.n * depth, [&](int64_t task, int) {
      const int64_t first = task * steps_per_task, steps = min(steps_per_task, depth - first);
      pack_across<P, tile_rows>(args.a.as<float>() + (k + first) * args.a_column_stride, args.a_column_stride, args.m, steps,
                                packed_a + words_of<P>(first) * tile_rows, tile_size);
      if (!args.packed_b && args.b_column_stride == 1)
        pack_across<P, panel_width>(args.b.as<float>() + (k + first) * args.b_row_stride, args.b_row_stride, args.n, steps,
                                    block_of_b + words_of<P>(first) * panel_width, words * panel_width);
    });
    const float* packed_b = block_of_b;
    int64_t panel_stride = words * panel_width;
    if (args.packed_b) {
      packed_b = static_cast<const float*>(args.packed_b) + words_of<P>(k) * panel_width;
      panel_stride = words_of<P>(args.k) * panel_width;
    } else if (args.b_column_stride != 1) {
      pack<P>(context, {args.b.as<float>() + k, args.b_row_stride, args.b_column_stride, block_of_b, depth, args.n, P});
    }
    for_each_task(context, panel_tasks * tile_tasks, args.m * args.n * depth, [&](int64_t task, int) {
      const int64_t panel_task = task / tile_tasks, tile_task = task % tile_tasks;
      for (int64_t panel = panels * panel_task / panel_tasks; panel < panels * (panel_task + 1) / panel_tasks; ++panel)
        for (int64_t tile = tiles * tile_task / tile_tasks; tile < tiles * (tile_task + 1) / tile_tasks; ++tile) {
          const int64_t row = tile * tile_rows, column = panel * panel_width;
          multiply_tile<typename Packed<P>::Words, DepthMajorTile, tile_rows, 1>(
              packed_a + tile * tile_size, packed_b + panel * panel_stride, packed_b + (panel + 1) * panel_stride, panel_stride,
              words, min(tile_rows, args.m - row),
              min(panel_width, args.n - column), epilogue_at(args, row, column, k == 0, false));
        }
    });
  }
}

}  // namespace

void pack_matrix(CpuContext& context, const PackMatrixArgs& args) {
  with_precision(args.precision, [&]<Precision P>() { pack<P>(context, args); });
}

void matmul(CpuContext& context, const MatmulArgs& args) {
  if (args.m == 0 || args.n == 0) return;
  with_precision(args.precision, [&]<Precision P>() {
    if (args.a_column_stride == 1)
      multiply_by_rows<P>(context, args);
    else
      multiply_by_columns<P>(context, args);
  });
}

}  // namespace sightline::SIGHTLINE_ISA
