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

/** A block of A in tiles, and how its tiles are multiplied. */
template <Precision P>
class BlockOfA {
 public:
  static constexpr int64_t tile_size = tile_rows * RowMajorTile::row_stride;

  BlockOfA(const MatmulArgs& m, float* scratch) : m_(m), tiles_(scratch), row_major_(m.a_column_stride == 1) {}

  /** Packs rows [first_row, first_row + rows), elements [k, k + depth). */
  void pack(int64_t first_row, int64_t rows, int64_t k, int64_t depth) const {
    const float* a = m_.a + first_row * m_.a_row_stride + k * m_.a_column_stride;
    if (row_major_)
      for (int64_t i = 0; i < rows; ++i)
        to_words<P>(a + i * m_.a_row_stride, depth,
                    tiles_ + i / tile_rows * tile_size + i % tile_rows * RowMajorTile::row_stride);
    else
      pack_across<P, tile_rows>(a, m_.a_column_stride, rows, depth, tiles_, tile_size);
  }

  /** Tile at row `i` of the block against the panels from `b` on. */
  void multiply(int64_t i, int64_t rows, const float* b, int64_t panel_stride, int64_t words, int64_t columns,
                const Epilogue& e) const {
    using Words = typename Packed<P>::Words;
    const float* tile = tiles_ + i / tile_rows * tile_size;
    if (row_major_)
      multiply_row_major<Words>(rows, tile, b, panel_stride, words, columns, e);
    else
      multiply_depth_major<Words>(rows, tile, b, panel_stride, words, columns, e);
  }

 private:
  const MatmulArgs& m_;
  float* tiles_;
  bool row_major_;
};

/** Rows [first_row, first_row + rows) times panels [first_panel, last_panel). */
template <Precision P>
void multiply_block(const MatmulArgs& m, const float* packed_b, int64_t first_row, int64_t rows, int64_t first_panel,
                    int64_t last_panel, float* scratch) {
  const BlockOfA<P> a(m, scratch);
  const int64_t first_column = first_panel * panel_width;
  const int64_t columns = min(m.n, last_panel * panel_width) - first_column;
  const int64_t panel_stride = words_of<P>(m.k) * panel_width;
  constexpr int64_t depth_elements = depth_block * elements_per_word(P);
  for (int64_t k = 0; k < m.k; k += depth_elements) {
    const int64_t depth = min(depth_elements, m.k - k), words = words_of<P>(depth);
    a.pack(first_row, rows, k, depth);
    const bool first = k == 0;
    Epilogue e{nullptr, m.c_row_stride, nullptr, nullptr, m.addend_row_stride, m.alpha, m.accumulate || !first};
    // A panel of B stays in the nearest caches while every tile of A passes it; with one tile, all panels pass the tile.
    const int64_t step = rows <= tile_rows ? columns : panel_width;
    for (int64_t j = 0; j < columns; j += step) {
      const float* panel = packed_b + (first_column + j) / panel_width * panel_stride + words_of<P>(k) * panel_width;
      for (int64_t i = 0; i < rows; i += tile_rows) {
        const int64_t row = first_row + i, column = first_column + j;
        e.c = m.c + row * m.c_row_stride + column;
        e.bias = m.bias && first ? m.bias + column : nullptr;
        e.addend = m.addend && first ? m.addend + row * m.addend_row_stride + column : nullptr;
        a.multiply(i, min(tile_rows, rows - i), panel, panel_stride, words, min(step, columns - j), e);
      }
    }
  }
}

template <Precision P>
void pack(ExecutionContext& context, const PackMatrixArgs& args) {
  constexpr int64_t task_words = 1 << 14;  // small matrices are packed by the caller: waking a thread costs more
  const int64_t panels = (args.n + panel_width - 1) / panel_width;
  const int64_t panel_stride = words_of<P>(args.k) * panel_width;
  if (args.b_column_stride == 1) {
    const int64_t words = max(1, task_words / (panels * panel_width)), step = words * elements_per_word(P);
    context.pool().parallel_for((args.k + step - 1) / step, [&](int64_t task, int) {
      const int64_t k = task * step;
      pack_across<P, panel_width>(args.b + k * args.b_row_stride, args.b_row_stride, args.n, min(step, args.k - k),
                                  args.packed + task * words * panel_width, panel_stride);
    });
  } else {
    const int64_t group = max(1, task_words / (panel_stride + 1));
    context.pool().parallel_for((panels + group - 1) / group, [&](int64_t task, int) {
      for (int64_t panel = task * group; panel < min(panels, (task + 1) * group); ++panel)
        pack_transposed<P, panel_width>(args.b + panel * panel_width * args.b_column_stride, args.b_column_stride,
                                        min(panel_width, args.n - panel * panel_width), args.k,
                                        args.packed + panel * panel_stride);
    });
  }
}

template <Precision P>
void multiply(ExecutionContext& context, const MatmulArgs& args) {
  const float* packed_b = args.packed_b;
  if (!packed_b) {
    float* packed = context.shared_scratch(matmul_packed_size(this_isa, P, args.k, args.n));
    pack<P>(context, {args.b, args.b_row_stride, args.b_column_stride, packed, args.k, args.n, P});
    packed_b = packed;
  }
  const int64_t panels = (args.n + panel_width - 1) / panel_width;
  const int threads = context.pool().size();
  // Blocks of whole tiles, evenly filled; where rows alone give too few tasks, columns are split as well. Neither
  // changes the order of any sum.
  const int64_t work = args.m * args.n * args.k;
  const bool alone = threads == 1 || work < 100000;
  const int64_t tiles = (args.m + tile_rows - 1) / tile_rows;
  const int64_t tiles_per_block = min(row_block / tile_rows, alone ? tiles : max(1, tiles / (4 * threads)));
  const int64_t rows_per_block = tiles_per_block * tile_rows;
  const int64_t row_tasks = (args.m + rows_per_block - 1) / rows_per_block;
  int64_t column_tasks = 1;
  if (!alone && row_tasks < 4 * threads) column_tasks = min(panels, (4 * threads + row_tasks - 1) / row_tasks);
  const auto task = [&](int64_t index, int thread) {
    const int64_t row = index / column_tasks * rows_per_block, column = index % column_tasks;
    const int64_t rows = min(rows_per_block, args.m - row);
    float* packed_a = context.thread_scratch(thread, tiles_per_block * BlockOfA<P>::tile_size);
    multiply_block<P>(args, packed_b, row, rows, panels * column / column_tasks, panels * (column + 1) / column_tasks, packed_a);
  };
  if (alone)
    for (int64_t index = 0; index < row_tasks * column_tasks; ++index) task(index, 0);
  else
    context.pool().parallel_for(row_tasks * column_tasks, task);
}

}  // namespace

void pack_matrix(ExecutionContext& context, const PackMatrixArgs& args) {
  with_precision(args.precision, [&]<Precision P>() { pack<P>(context, args); });
}

void matmul(ExecutionContext& context, const MatmulArgs& args) {
  if (args.m == 0 || args.n == 0) return;
  with_precision(args.precision, [&]<Precision P>() { multiply<P>(context, args); });
}

}  // namespace sightline::SIGHTLINE_ISA
