#include "ops/matmul.h"

#include "ops/matmul_kernel.h"
#include "ops/matmul_pack.h"
#include "ops/op_table.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

// Rows of A packed at a time: 120 x 512 words fill a quarter of a 1 MB L2 cache.
constexpr int64_t row_block = 120;
static_assert(row_block % tile_rows == 0);

/** Words between packed rows of A: no power of two, so that rows stay apart in the cache. */
constexpr int64_t packed_row_stride = depth_block + 16;

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

/** Elements of the depth that are multiplied before the sums go to C. */
template <Precision P>
constexpr int64_t depth_elements = depth_block * elements_per_word(P);

/** Whether sums of several blocks along the depth wait in scratch memory, for C would round each of them. */
template <Precision P>
bool sums_wait(const MatmulArgs& m) {
  return m.c.type == DType::bf16 && m.k > depth_elements<P>;
}

/** Whether C is written once, without being read, and is more than the caches hold until somebody reads it. */
template <Precision P>
bool is_streamed(const MatmulArgs& m) {
  constexpr int64_t cache_bytes = int64_t{4} << 20, vector_bytes = sizeof(Vec);
  const bool written_once = !m.accumulate && (m.k <= depth_elements<P> || sums_wait<P>(m));
  return written_once && m.m * m.n * size_of(m.c.type) > cache_bytes &&
         reinterpret_cast<intptr_t>(m.c.data) % vector_bytes == 0 && m.c_row_stride * size_of(m.c.type) % vector_bytes == 0;
}

/** Where the sums of the blocks before the last are, from the tile at hand on: in C itself unless `sums_wait`. */
struct Sums {
  Elements at;
  int64_t row_stride;
};

/** Sums of the tile at (row, column): bias and addend are added with the first block along the depth, then the sums so far. */
Epilogue epilogue_at(const MatmulArgs& m, int64_t row, int64_t column, const Sums& sums, bool first, bool last, bool streamed) {
  const Sums c{m.c.at(row * m.c_row_stride + column), m.c_row_stride};
  const Sums& to = last ? c : sums;
  Epilogue e{to.at, to.row_stride, nullptr, {}, 0, m.alpha, streamed && last};
  if (first && m.bias) e.bias = m.bias + column;
  if (first && m.addend) {
    e.addend = m.addend.at(row * m.addend_row_stride + column);
    e.addend_row_stride = m.addend_row_stride;
  } else if (!first || m.accumulate) {
    const Sums& from = first ? c : sums;
    e.addend = from.at;
    e.addend_row_stride = from.row_stride;
  }
  return e;
}

/** Columns whose sums wait at a time: with row_block rows another quarter of a 1 MB L2 cache. */
constexpr int64_t waiting_columns = 512;
constexpr int64_t waiting_row_stride = waiting_columns + 16;  // no power of two, as for A

/** Floats of thread scratch that `multiply_rows` needs for so many rows, a multiple of tile_rows. */
template <Precision P>
int64_t row_scratch_size(const MatmulArgs& m, int64_t rows) {
  return rows * (packed_row_stride + (sums_wait<P>(m) ? waiting_row_stride : 0));
}

/**
 * Whether rows of A are read where they lie: their elements lie as words do, and rows do not meet in so few sets of a 1 MB
 * L2 cache that a block of them would not stay in it.
 */
template <Precision P>
bool is_read_in_place(const MatmulArgs& m) {
  constexpr DType words = P == Precision::bf16 ? DType::bf16 : DType::f32;
  constexpr int64_t meeting_bytes = 8192;
  return m.a.type == words && m.k % elements_per_word(P) == 0 && m.a_row_stride * size_of(m.a.type) % meeting_bytes != 0;
}

/** Words of B that caches keep from product to product: 1 MB. */
constexpr int64_t cached_words = 1 << 18;

/** Rows [first_row, first_row + rows) of C, panels [first_panel, last_panel), where rows of A lie next to each other. */
template <Precision P>
void multiply_rows(const MatmulArgs& m, const float* packed_b, int64_t first_row, int64_t rows, int64_t first_panel,
                   int64_t last_panel, float* scratch) {
  const int64_t panel_stride = words_of<P>(m.k) * panel_width;
  const bool from_memory = m.n * words_of<P>(m.k) > cached_words;
  const bool waiting = sums_wait<P>(m), streamed = is_streamed<P>(m);
  float* packed_a = scratch + (waiting ? rows * waiting_row_stride : 0);
  const int64_t end = min(m.n, last_panel * panel_width);
  const int64_t group = waiting ? waiting_columns : m.n;
  const int64_t tiles = blocks_of(rows, tile_rows);
  for (int64_t first_column = first_panel * panel_width; first_column < end; first_column += group) {
    const int64_t columns = min(group, end - first_column);
    for (int64_t k = 0; k < m.k; k += depth_elements<P>) {
      const int64_t depth = min(depth_elements<P>, m.k - k);
      RowMajorTile a{};
      with_type(m.a.type, [&]<class T>(T) {
        const T* rows_of_a = m.a.as<T>() + first_row * m.a_row_stride + k;
        if (is_read_in_place<P>(m)) {
          a = {reinterpret_cast<const char*>(rows_of_a), m.a_row_stride * static_cast<int64_t>(sizeof(T))};
        } else {
          for (int64_t i = 0; i < rows; ++i) to_words<P>(rows_of_a + i * m.a_row_stride, depth, packed_a + i * packed_row_stride);
          a = {reinterpret_cast<const char*>(packed_a), packed_row_stride * static_cast<int64_t>(sizeof(float))};
        }
      });
      // A panel of B stays in the nearest caches while every tile of A passes it; with one tile, all panels pass the tile.
      const int64_t step = rows <= tile_rows ? columns : panel_width;
      const auto panel_at = [&](int64_t column, int64_t depth_before) {
        return packed_b + column / panel_width * panel_stride + words_of<P>(depth_before) * panel_width;
      };
      for (int64_t j = 0; j < columns; j += step) {
        const int64_t column = first_column + j;
        const float* panel = panel_at(column, k);
        // After the last panel, the first one's next block along the depth; with no more of those, another block of rows begins.
        const int64_t next_k = k + depth < m.k ? k + depth : 0;
        const float* next = j + step < columns ? panel_at(column + step, k) : panel_at(first_column, next_k);
        for (int64_t i = 0; i < rows; i += tile_rows) {
          const Sums sums = waiting ? Sums{scratch + i * waiting_row_stride + j, waiting_row_stride}
                                    : Sums{m.c.at((first_row + i) * m.c_row_stride + column), m.c_row_stride};
          multiply_row_major<typename Packed<P>::Words>(
              min(tile_rows, rows - i), {a.words + i * a.row_bytes, a.row_bytes}, panel,
              {.memory = from_memory, .next = next, .tile = i / tile_rows, .tiles = tiles}, panel_stride, words_of<P>(depth),
              min(step, columns - j), epilogue_at(m, first_row + i, column, sums, k == 0, k + depth >= m.k, streamed));
        }
      }
    }
  }
  if (streamed) finish_streaming();
}

template <Precision P>
void pack(CpuContext& context, const PackMatrixArgs& args) {
  constexpr int64_t task_words = 1 << 14;  // small matrices are packed by the caller: waking a thread costs more
  const int64_t panels = blocks_of(args.n, panel_width);
  const int64_t panel_stride = words_of<P>(args.k) * panel_width;
  if (args.b_column_stride == 1) {
    const int64_t words = max(1, task_words / (panels * panel_width)), step = words * elements_per_word(P);
    context.pool().parallel_for(blocks_of(args.k, step), [&](int64_t task, int) {
      const int64_t k = task * step;
      with_type(args.b.type, [&]<class T>(T) {
        pack_across<P, panel_width>(args.b.as<T>() + k * args.b_row_stride, args.b_row_stride, args.n, min(step, args.k - k),
                                    static_cast<float*>(args.packed) + task * words * panel_width, panel_stride);
      });
    });
  } else {
    const int64_t group = max(1, task_words / (panel_stride + 1));
    context.pool().parallel_for(blocks_of(panels, group), [&](int64_t task, int) {
      for (int64_t panel = task * group; panel < min(panels, (task + 1) * group); ++panel)
        with_type(args.b.type, [&]<class T>(T) {
          pack_transposed<P, panel_width>(args.b.as<T>() + panel * panel_width * args.b_column_stride, args.b_column_stride,
                                          min(panel_width, args.n - panel * panel_width), args.k,
                                          static_cast<float*>(args.packed) + panel * panel_stride);
        });
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
  const int64_t panels = blocks_of(args.n, panel_width);
  // Blocks of whole tiles; where they give too few tasks, columns are split as well, and threads get equal shares. The few rows
  // of decoding wait for B, which arrives fastest in long streams: one per thread. None of this changes the order of any sum.
  const int64_t threads = context.pool().size(), wanted = threads == 1 ? 1 : 4 * threads;
  const auto shared = [&](int64_t tasks) { return blocks_of(tasks, threads) * threads; };
  const int64_t tiles = blocks_of(args.m, tile_rows), blocks = blocks_of(args.m, row_block);
  const int64_t column_shares = blocks == 1 ? threads : shared(blocks_of(wanted, blocks));
  const int64_t column_tasks = blocks < wanted ? min(panels, column_shares) : 1;
  const int64_t row_blocks = max(blocks, blocks_of(wanted, column_tasks));
  const int64_t row_tasks = min(tiles, column_tasks % threads == 0 ? row_blocks : shared(row_blocks));
  const int64_t rows_per_block = blocks_of(tiles, row_tasks) * tile_rows;
  for_each_task(context, row_tasks * column_tasks, args.m * args.n * args.k, [&](int64_t task, int thread) {
    const int64_t column = task % column_tasks, row = task / column_tasks;
    const int64_t first = tiles * row / row_tasks * tile_rows, last = min(args.m, tiles * (row + 1) / row_tasks * tile_rows);
    multiply_rows<P>(args, packed_b, first, last - first, panels * column / column_tasks, panels * (column + 1) / column_tasks,
                     context.thread_scratch(thread, row_scratch_size<P>(args, rows_per_block)));
  });
}

/**
 * A with columns next to each other in memory, the gradient of a weight: along the depth block by block, all threads pack B and
 * then, as many columns as caches hold at a time, A, both in whole rows as they lie in memory, and share the tiles of C.
 */
template <Precision P>
void multiply_by_columns(CpuContext& context, const MatmulArgs& args) {
  // Tiles and panels that begin at multiples of 4 KB would meet in few sets of a cache.
  constexpr int64_t apart_words = 16;
  constexpr int64_t steps_per_task = 32 * elements_per_word(P);
  const int64_t tiles = blocks_of(args.m, tile_rows), panels = blocks_of(args.n, panel_width);
  const int64_t words_at_once = min(depth_block, words_of<P>(args.k));
  const int64_t tile_size = words_at_once * tile_rows + apart_words, panel_size = words_at_once * panel_width + apart_words;
  // A is packed 2^20 elements of a block at a time, however wide the weight is.
  const int64_t groups = max(1, blocks_of(args.m * min(depth_elements<P>, args.k), 1 << 20));
  const int64_t tiles_at_once = blocks_of(tiles, groups);
  const int64_t sums_size = sums_wait<P>(args) ? args.m * args.n : 0;
  float* sums = context.shared_scratch(sums_size + tiles_at_once * tile_size + panels * panel_size);
  float* packed_a = sums + sums_size;
  float* block_of_b = packed_a + tiles_at_once * tile_size;
  const int64_t wanted = context.pool().size() == 1 ? 1 : 4 * context.pool().size();
  const int64_t panel_tasks = min(panels, wanted);
  for (int64_t k = 0; k < args.k; k += depth_elements<P>) {
    const int64_t depth = min(depth_elements<P>, args.k - k), words = words_of<P>(depth);
    const float* packed_b = block_of_b;
    int64_t panel_stride = panel_size;
    if (args.packed_b) {
      packed_b = static_cast<const float*>(args.packed_b) + words_of<P>(k) * panel_width;
      panel_stride = words_of<P>(args.k) * panel_width;
    } else if (args.b_column_stride != 1) {
      pack<P>(context, {args.b.at(k), args.b_row_stride, args.b_column_stride, block_of_b, depth, args.n, P});
      panel_stride = words * panel_width;
    }
    for (int64_t first_tile = 0; first_tile < tiles; first_tile += tiles_at_once) {
      const int64_t count = min(tiles_at_once, tiles - first_tile), first_row = first_tile * tile_rows;
      const int64_t rows = min(count * tile_rows, args.m - first_row);
      const bool with_b = first_tile == 0 && !args.packed_b && args.b_column_stride == 1;
      for_each_task(context, blocks_of(depth, steps_per_task), rows * args.n * depth, [&](int64_t task, int) {
        const int64_t first = task * steps_per_task, steps = min(steps_per_task, depth - first);
        with_type(args.a.type, [&]<class T>(T) {
          pack_across<P, tile_rows>(args.a.as<T>() + (k + first) * args.a_column_stride + first_row, args.a_column_stride, rows,
                                    steps, packed_a + words_of<P>(first) * tile_rows, tile_size);
        });
        if (with_b)
          with_type(args.b.type, [&]<class T>(T) {
            pack_across<P, panel_width>(args.b.as<T>() + (k + first) * args.b_row_stride, args.b_row_stride, args.n, steps,
                                        block_of_b + words_of<P>(first) * panel_width, panel_size);
          });
      });
      // Threads take groups of panels, all tiles against each: a panel is read once, A stays in the caches.
      const int64_t tile_tasks = min(count, blocks_of(wanted, panel_tasks));
      for_each_task(context, panel_tasks * tile_tasks, rows * args.n * depth, [&](int64_t task, int) {
        const int64_t panel_task = task / tile_tasks, tile_task = task % tile_tasks;
        const int64_t from = count * tile_task / tile_tasks, to = count * (tile_task + 1) / tile_tasks;
        for (int64_t panel = panels * panel_task / panel_tasks; panel < panels * (panel_task + 1) / panel_tasks; ++panel)
          for (int64_t tile = from; tile < to; ++tile) {
            const int64_t row = first_row + tile * tile_rows, column = panel * panel_width;
            const float* b = packed_b + panel * panel_stride;
            const Sums so_far = sums_size > 0 ? Sums{sums + row * args.n + column, args.n}
                                              : Sums{args.c.at(row * args.c_row_stride + column), args.c_row_stride};
            multiply_tile<typename Packed<P>::Words, DepthMajorTile, tile_rows, 1>(
                {packed_a + tile * tile_size}, b, Ahead::share(b, b + panel_stride, words, tile - from, to - from),
                panel_stride, words, min(tile_rows, args.m - row), min(panel_width, args.n - column),
                epilogue_at(args, row, column, so_far, k == 0, k + depth >= args.k, false));
          }
      });
    }
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
