#pragma once

// The innermost loops of `matmul`: a tile of C in registers, a tile of A against panels of B, both packed into 32-bit words
// of one element (fp32) or two (bf16). Included by matmul.cpp only.

#include "core/precision.h"
#include "ops/matmul.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

// The kernel keeps tile_rows x panel_width of C in registers: 24 of 32 on AVX-512, 12 of 16 elsewhere.
#if defined(SIGHTLINE_AVX512)
inline constexpr int tile_rows = 12;
#elif defined(SIGHTLINE_AVX2)
inline constexpr int tile_rows = 6;
#else
inline constexpr int tile_rows = 3;
#endif
inline constexpr int panel_width = static_cast<int>(matmul_panel_width(this_isa));
inline constexpr int panel_vectors = panel_width / lanes;

/** Words along the depth that are multiplied before the sums go to C. */
inline constexpr int64_t depth_block = matmul_depth_block;

/** sum + a * b, one element per word. */
struct Fp32Words {
  static Vec multiply_add(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }
};
/** sum + a * b, two elements per word. */
struct Bf16Words {
  static Vec multiply_add(Vec a, Vec b, Vec sum) { return add_pair_products(a, b, sum); }
};

/** A tile of A with the words of each row next to each other. */
struct RowMajorTile {
  const char* words;
  int64_t row_bytes;

  /** The words of a step along the depth, at first of step 0. */
  template <int Rows>
  class Reader {
   public:
    explicit Reader(const RowMajorTile& tile) : row_bytes_(tile.row_bytes) {
      for (int i = 0; i < groups; ++i) first_[i] = tile.words + 3 * i * tile.row_bytes;
    }
    Vec broadcast(int row) const { return broadcast_word(first_[row / 3] + row % 3 * row_bytes_); }
    void advance() {
#pragma GCC unroll 4
      for (int i = 0; i < groups; ++i) {
        const char* next = first_[i] + sizeof(float);
        asm("" : "+r"(next));
        first_[i] = next;
      }
    }

   private:
    // Three rows are reached from one address, which leaves registers for all of them; the compiler would take one for each row.
    static constexpr int groups = (Rows + 2) / 3;
    const char* first_[groups];
    int64_t row_bytes_;
  };
};
/** A tile of A with the words of each step along the depth next to each other. */
struct DepthMajorTile {
  const float* words;

  template <int Rows>
  class Reader {
   public:
    explicit Reader(const DepthMajorTile& tile) : step_(tile.words) {}
    Vec broadcast(int row) const { return broadcast_word(step_ + row); }
    void advance() { step_ += tile_rows; }

   private:
    const float* step_;
  };
};

/** How a tile of sums goes into C. */
struct Epilogue {
  Elements c;
  int64_t c_row_stride;
  const float* bias;
  ConstElements addend;
  int64_t addend_row_stride;
  float alpha;
  /** Whether whole vectors of C go past the caches; their addresses are then aligned. */
  bool streamed;

  /** The same, `columns` to the right. */
  Epilogue at_column(int64_t columns) const {
    Epilogue e = *this;
    e.c = c.at(columns);
    if (bias) e.bias += columns;
    if (addend) e.addend = addend.at(columns);
    return e;
  }
};

/** What the lanes n of a vector of sums become; `addend` is the row's first element of the tile. */
template <class Lanes>
inline Vec finished(const Epilogue& e, ConstElements addend, int64_t column, Vec sum, Lanes n) {
  Vec value = sum * broadcast(e.alpha);
  if (e.bias) value = value + load(e.bias + column, n);
  if (!addend) return value;
  return value + (addend.type == DType::bf16 ? load(addend.as<bf16>() + column, n) : load(addend.as<float>() + column, n));
}

/** One row of a tile into C, which is stored as T. Vectors go in pairs: two of bf16 fill a cache line. */
template <class T, int Vectors>
[[gnu::always_inline]] inline void store_row(const Epilogue& e, int64_t row, int64_t columns, const Vec (&sums)[Vectors]) {
  static_assert(Vectors % 2 == 0);
  T* c = e.c.as<T>() + row * e.c_row_stride;
  const ConstElements addend = e.addend ? e.addend.at(row * e.addend_row_stride) : e.addend;
#pragma GCC unroll 8
  for (int j = 0; j < Vectors; j += 2) {
    const int64_t left = columns - j * lanes;
    if (left >= 2 * lanes) {
      const Vec low = finished(e, addend, j * lanes, sums[j], Whole{});
      const Vec high = finished(e, addend, (j + 1) * lanes, sums[j + 1], Whole{});
      if (e.streamed)
        stream_pair(c + j * lanes, low, high);
      else
        store_pair(c + j * lanes, low, high);
    } else {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const Part part{min(lanes, left - half * lanes)};
        if (part.count <= 0) continue;
        store(c + (j + half) * lanes, finished(e, addend, (j + half) * lanes, sums[j + half], part), part);
      }
    }
  }
}

/**
 * What a tile fetches of the panels of B that are read after its own: its share, step by step along the depth, for the first
 * use of the panels would wait for memory at every line, and so would a tile that fetched them all.
 */
struct Ahead {
  const float* from;
  /** Words for each step along the depth. */
  int64_t step;

  /** The share of tile `tile` of the `tiles` that read the panels at `b` before those at `next`; none if that is `b` again. */
  static Ahead share(const float* b, const float* next, int64_t depth, int64_t tile, int64_t tiles) {
    const int64_t step = blocks_of(panel_width, tiles);
    return next != b && tile * step < panel_width ? Ahead{next + tile * depth * step, step} : Ahead{b, 0};
  }
};

/**
 * Rows x (Panels * panel_width) of C. Several panels at once keep enough independent sums in flight when there are few rows.
 *
 * @param panel_stride  words between neighbouring panels of B
 * @param ahead         what to fetch meanwhile
 * @param depth         words along the depth, at most depth_block
 * @param rows, columns how much of the tile exists; the sums of the rest are dropped
 */
template <class Words, class Tile, int Rows, int Panels>
void multiply_tile(const Tile a, const float* b, const Ahead ahead, int64_t panel_stride, int64_t depth, int64_t rows,
                   int64_t columns, const Epilogue& e) {
  constexpr int vectors = Panels * panel_vectors;
  Vec sums[Rows][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    if (Panels == 1 && i < rows && !e.streamed) {
      // C is not in the nearest cache; by the end of the loop below it will be.
      __builtin_prefetch(e.c.at(i * e.c_row_stride).data, 1);
      __builtin_prefetch(e.c.at(i * e.c_row_stride + panel_width - 1).data, 1);
    }
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) sums[i][j] = zero();
  }
  typename Tile::template Reader<Rows> words(a);
  const float* next = ahead.from;
  for (int64_t p = 0; p < depth; ++p, words.advance(), next += ahead.step) {
    Vec row[vectors];
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) {
      const int64_t at = (j / panel_vectors) * panel_stride + (j % panel_vectors) * lanes;
      row[j] = load(b + at + p * panel_width);
      // A shared panel is asked for several times, which costs little beside the products; a tile alone asks for each cache line
      // once. For one row the processor's own prefetching does better.
      if (Rows > 1 && j * lanes % 16 == 0) __builtin_prefetch(next + at, 0, 2);
    }
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Vec x = words.broadcast(i);
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sums[i][j] = Words::multiply_add(x, row[j], sums[i][j]);
    }
  }
  // Inlined and fully unrolled, so that the sums stay in registers throughout.
  const auto store_as = [&]<class T>(T) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      if (i >= rows) break;
      store_row<T>(e, i, columns, sums[i]);
    }
  };
  if (e.c.type == DType::bf16)
    store_as(bf16{});
  else
    store_as(float{});
}

/** Where the panels of B come from, and which of the tiles that read them this is. */
struct PanelSource {
  /** B is more than the caches keep from product to product. */
  bool memory;
  /** The panel that is read after them. */
  const float* next;
  /** This tile, of so many. */
  int64_t tile, tiles;
};

template <class Words, int Rows>
void multiply_rows_exact(RowMajorTile a, const float* b, PanelSource source, int64_t panel_stride, int64_t depth, int64_t columns,
                         const Epilogue& e) {
  constexpr int group = Rows == 1 ? 4 : Rows <= 3 ? 2 : 1;
  const auto ahead = [&](int64_t column, int panels) {
    const float* next = columns - column > panels * panel_width ? b + panels * panel_stride : source.next;
    return Ahead::share(b, next, depth, source.tile, source.tiles);
  };
  // Memory is read fastest as one stream, caches as several.
  const bool in_groups = Rows > 1 || !source.memory;
  int64_t column = 0;
  for (; in_groups && columns - column > (group - 1) * panel_width; column += group * panel_width, b += group * panel_stride)
    multiply_tile<Words, RowMajorTile, Rows, group>(a, b, ahead(column, group), panel_stride, depth, Rows,
                                                    columns - column, e.at_column(column));
  for (; column < columns; column += panel_width, b += panel_stride)
    multiply_tile<Words, RowMajorTile, Rows, 1>(a, b, ahead(column, 1), panel_stride, depth, Rows, columns - column,
                                                e.at_column(column));
}

/**
 * A row-major tile of A against all panels from `b` on that cover `columns`.
 */
template <class Words>
void multiply_row_major(int64_t rows, RowMajorTile a, const float* b, PanelSource source, int64_t panel_stride, int64_t depth,
                        int64_t columns, const Epilogue& e) {
  switch (rows) {
#define SIGHTLINE_ROWS(n) \
  case n: return multiply_rows_exact<Words, n>(a, b, source, panel_stride, depth, columns, e);
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

}  // namespace sightline::SIGHTLINE_ISA
