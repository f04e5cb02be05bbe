#include "ops/matmul.h"

#include "ops/op_table.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

// The kernel keeps tile_rows x panel_width of C in registers: 24 of 32 on AVX-512, 12 of 16 elsewhere.
#if defined(SIGHTLINE_AVX512)
constexpr int tile_rows = 12;
#elif defined(SIGHTLINE_AVX2)
constexpr int tile_rows = 6;
#else
constexpr int tile_rows = 3;
#endif
constexpr int panel_width = static_cast<int>(matmul_panel_width(this_isa));
constexpr int panel_vectors = panel_width / lanes;
constexpr int64_t depth_block = matmul_depth_block;
// Rows of A packed at a time: 120 x 512 floats fill a quarter of a 1 MB L2 cache.
constexpr int64_t row_block = 120;
static_assert(row_block % tile_rows == 0);

typedef float Quad __attribute__((vector_size(16)));

/**
 * Copies a (rows, depth) block, x[i * row_stride + p * depth_stride], into a panel to[p * width + i], zero where i >= rows.
 */
void pack_panel(const float* x, int64_t row_stride, int64_t depth_stride, int64_t rows, int64_t depth, int width,
                float* to) {
  if (row_stride == 1) {
    for (int64_t p = 0; p < depth; ++p) {
      const float* from = x + p * depth_stride;
      float* row = to + p * width;
      int64_t i = 0;
      for (; i + 4 <= rows; i += 4) __builtin_memcpy(row + i, from + i, 16);
      for (; i < rows; ++i) row[i] = from[i];
      for (; i < width; ++i) row[i] = 0.0f;
    }
    return;
  }
  int64_t i = 0;
  if (depth_stride == 1) {
    for (; i + 4 <= rows; i += 4) {
      const float* r0 = x + i * row_stride;
      const float* r1 = r0 + row_stride;
      const float* r2 = r1 + row_stride;
      const float* r3 = r2 + row_stride;
      int64_t p = 0;
      for (; p + 4 <= depth; p += 4) {
        Quad a, b, c, d;
        __builtin_memcpy(&a, r0 + p, 16);
        __builtin_memcpy(&b, r1 + p, 16);
        __builtin_memcpy(&c, r2 + p, 16);
        __builtin_memcpy(&d, r3 + p, 16);
        const Quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
        const Quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        const Quad t0 = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), t1 = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
        const Quad t2 = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), t3 = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
        float* out = to + p * width + i;
        __builtin_memcpy(out, &t0, 16);
        __builtin_memcpy(out + width, &t1, 16);
        __builtin_memcpy(out + 2 * width, &t2, 16);
        __builtin_memcpy(out + 3 * width, &t3, 16);
      }
      for (; p < depth; ++p) {
        float* out = to + p * width + i;
        out[0] = r0[p];
        out[1] = r1[p];
        out[2] = r2[p];
        out[3] = r3[p];
      }
    }
  }
  for (; i < width; ++i)
    for (int64_t p = 0; p < depth; ++p) to[p * width + i] = i < rows ? x[i * row_stride + p * depth_stride] : 0.0f;
}

/** How a tile of sums goes into C. */
struct Epilogue {
  float* c;
  int64_t c_row_stride;
  const float* bias;
  const float* addend;
  int64_t addend_row_stride;
  float alpha;
  bool accumulate;
};

template <bool Partial>
inline void store_vector(const Epilogue& e, int64_t row, int64_t column, Vec sum, int64_t count) {
  const auto read = [&](const float* from) { return Partial ? load_partial(from, count) : load(from); };
  Vec value = sum * broadcast(e.alpha);
  if (e.bias) value = value + read(e.bias + column);
  if (e.addend) value = value + read(e.addend + row * e.addend_row_stride + column);
  float* c = e.c + row * e.c_row_stride + column;
  if (e.accumulate) value = value + read(c);
  if (Partial)
    store_partial(c, value, count);
  else
    store(c, value);
}

/**
 * Rows x (Panels * panel_width) of C from a packed tile of A and Panels neighbouring panels of B. Several panels at once
 * keep enough independent sums in flight when there are few rows.
 */
template <int Rows, int Panels>
void multiply_tile(const float* a, const float* b, int64_t panel_stride, int64_t depth, int64_t columns, const Epilogue& e) {
  Vec sums[Rows][Panels * panel_vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < Panels * panel_vectors; ++j) sums[i][j] = zero();
  for (int64_t p = 0; p < depth; ++p) {
    Vec row[Panels * panel_vectors];
#pragma GCC unroll 8
    for (int j = 0; j < Panels * panel_vectors; ++j)
      row[j] = load(b + (j / panel_vectors) * panel_stride + p * panel_width + (j % panel_vectors) * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Vec x = broadcast(a[p * tile_rows + i]);
#pragma GCC unroll 8
      for (int j = 0; j < Panels * panel_vectors; ++j) sums[i][j] = fma(x, row[j], sums[i][j]);
    }
  }
  // Fully unrolled, so that the sums stay in registers throughout.
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < Panels * panel_vectors; ++j) {
      const int64_t left = columns - j * lanes;
      if (left >= lanes)
        store_vector<false>(e, i, j * lanes, sums[i][j], lanes);
      else if (left > 0)
        store_vector<true>(e, i, j * lanes, sums[i][j], left);
    }
}

template <int Rows>
void multiply_rows_exact(const float* a, const float* b, int64_t panel_stride, int64_t depth, int64_t columns, Epilogue e) {
  constexpr int group = Rows == 1 ? 4 : Rows <= 3 ? 2 : 1;
  const auto advance = [&](int64_t width) {
    e.c += width;
    if (e.bias) e.bias += width;
    if (e.addend) e.addend += width;
    columns -= width;
  };
  while (columns > (group - 1) * panel_width) {
    multiply_tile<Rows, group>(a, b, panel_stride, depth, columns, e);
    b += group * panel_stride;
    if (columns <= group * panel_width) return;
    advance(group * panel_width);
  }
  for (; columns > 0; advance(panel_width)) {
    multiply_tile<Rows, 1>(a, b, panel_stride, depth, columns, e);
    b += panel_stride;
    if (columns <= panel_width) return;
  }
}

/** One packed tile of A against all panels from `b` on that cover `columns`. */
void multiply_rows(int64_t rows, const float* a, const float* b, int64_t panel_stride, int64_t depth, int64_t columns,
                   const Epilogue& e) {
  switch (rows) {
#define SIGHTLINE_ROWS(n) \
  case n: return multiply_rows_exact<n>(a, b, panel_stride, depth, columns, e);
    SIGHTLINE_ROWS(1)
    SIGHTLINE_ROWS(2)
    SIGHTLINE_ROWS(3)
#if defined(SIGHTLINE_AVX512) || defined(SIGHTLINE_AVX2)
    SIGHTLINE_ROWS(4)
    SIGHTLINE_ROWS(5)
    SIGHTLINE_ROWS(6)
#endif
#if defined(SIGHTLINE_AVX512)
    SIGHTLINE_ROWS(7)
    SIGHTLINE_ROWS(8)
    SIGHTLINE_ROWS(9)
    SIGHTLINE_ROWS(10)
    SIGHTLINE_ROWS(11)
    SIGHTLINE_ROWS(12)
#endif
#undef SIGHTLINE_ROWS
    default: __builtin_unreachable();
  }
}

/** Rows [first_row, first_row + rows) times panels [first_panel, last_panel). */
void multiply_block(const MatmulArgs& m, const float* packed_b, int64_t first_row, int64_t rows, int64_t first_panel,
                    int64_t last_panel, float* packed_a) {
  const int64_t first_column = first_panel * panel_width;
  const int64_t columns = min(m.n, last_panel * panel_width) - first_column;
  const int64_t panel_stride = m.k * panel_width;
  for (int64_t k = 0; k < m.k; k += depth_block) {
    const int64_t depth = min(depth_block, m.k - k);
    for (int64_t i = 0; i < rows; i += tile_rows)
      pack_panel(m.a + (first_row + i) * m.a_row_stride + k * m.a_column_stride, m.a_row_stride, m.a_column_stride,
                 min(tile_rows, rows - i), depth, tile_rows, packed_a + i * depth);
    const bool first = k == 0;
    Epilogue e{nullptr, m.c_row_stride, nullptr, nullptr, m.addend_row_stride, m.alpha, m.accumulate || !first};
    // A panel of B stays in the nearest caches while every tile of A passes it; with one tile, all panels pass the tile.
    const int64_t step = rows <= tile_rows ? columns : panel_width;
    for (int64_t j = 0; j < columns; j += step) {
      const float* panel = packed_b + (first_column + j) / panel_width * panel_stride + k * panel_width;
      for (int64_t i = 0; i < rows; i += tile_rows) {
        const int64_t row = first_row + i, column = first_column + j;
        e.c = m.c + row * m.c_row_stride + column;
        e.bias = m.bias && first ? m.bias + column : nullptr;
        e.addend = m.addend && first ? m.addend + row * m.addend_row_stride + column : nullptr;
        multiply_rows(min(tile_rows, rows - i), packed_a + i * depth, panel, panel_stride, depth, min(step, columns - j), e);
      }
    }
  }
}

}  // namespace

void pack_matrix(ExecutionContext& context, const PackMatrixArgs& args) {
  const int64_t panels = (args.n + panel_width - 1) / panel_width;
  // Small matrices are packed by the caller: waking a thread costs more.
  const int64_t group = max(1, 16384 / (args.k * panel_width + 1));
  context.pool().parallel_for((panels + group - 1) / group, [&](int64_t task, int) {
    for (int64_t panel = task * group; panel < min(panels, (task + 1) * group); ++panel)
      pack_panel(args.b + panel * panel_width * args.b_column_stride, args.b_column_stride, args.b_row_stride,
                 min(panel_width, args.n - panel * panel_width), args.k, panel_width,
                 args.packed + panel * panel_width * args.k);
  });
}

void matmul(ExecutionContext& context, const MatmulArgs& args) {
  if (args.m == 0 || args.n == 0) return;
  const float* packed_b = args.packed_b;
  if (!packed_b) {
    float* packed = context.shared_scratch(matmul_packed_size(this_isa, args.k, args.n));
    pack_matrix(context, {args.b, args.b_row_stride, args.b_column_stride, packed, args.k, args.n});
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
    float* packed_a = context.thread_scratch(thread, (rows + tile_rows) * depth_block);
    multiply_block(args, packed_b, row, rows, panels * column / column_tasks, panels * (column + 1) / column_tasks, packed_a);
  };
  if (alone)
    for (int64_t index = 0; index < row_tasks * column_tasks; ++index) task(index, 0);
  else
    context.pool().parallel_for(row_tasks * column_tasks, task);
}

}  // namespace sightline::SIGHTLINE_ISA
