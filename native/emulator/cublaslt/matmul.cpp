#include "emulator/cublaslt/matmul.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace sightline::emulator {
namespace {

// The same bits on every processor: nothing is contracted, only the width of the vectors differs.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define SIGHTLINE_WIDEST_VECTORS __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define SIGHTLINE_WIDEST_VECTORS
#endif

/** Rows of a tile of D, which lie side by side in memory, and columns. */
constexpr size_t tile_rows = 32, tile_columns = 4;
typedef float Vector __attribute__((vector_size(64)));
constexpr size_t tile_vectors = tile_rows * sizeof(float) / sizeof(Vector);

float load(const std::byte* from, DataType type) {
  if (type == DataType::r_32f) {
    float value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return std::bit_cast<float>(uint32_t{half} << 16);
}

void store(std::byte* to, DataType type, float value) {
  if (type == DataType::r_32f) {
    std::memcpy(to, &value, sizeof value);
    return;
  }
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  // To nearest, ties to even; a NaN keeps its upper bits and stays one.
  const uint32_t rounded = value != value ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
  const auto half = static_cast<uint16_t>(rounded >> 16);
  std::memcpy(to, &half, sizeof half);
}

/**
 * tile[c][r] = sum over p of a[p][r] * b[c][p]
 *
 * @param a  (k, tile_rows) contiguous
 * @param b  (tile_columns, k) contiguous
 */
SIGHTLINE_WIDEST_VECTORS
void multiply_tile(const float* a, const float* b, size_t k, float* tile) {
  Vector sums[tile_columns][tile_vectors] = {};
  for (size_t p = 0; p < k; ++p) {
    for (size_t v = 0; v < tile_vectors; ++v) {
      Vector rows;
      std::memcpy(&rows, a + p * tile_rows + v * sizeof(Vector) / sizeof(float), sizeof rows);
      for (size_t c = 0; c < tile_columns; ++c) sums[c][v] += rows * b[c * k + p];
    }
  }
  std::memcpy(tile, sums, sizeof sums);
}

/** op(X)(r, c) of batch z as fp32. */
float element(const MatrixView& x, bool transpose, int32_t batch, uint64_t row, uint64_t column) {
  if (transpose) std::swap(row, column);
  return load(x.column(batch, column) + row * x.element_bytes(), x.type);
}

}  // namespace

void compute_matmul(const MatmulProblem& problem) {
  const size_t m = problem.d.rows, n = problem.d.columns;
  const size_t k = problem.transpose_a ? problem.a.rows : problem.a.columns;
  const size_t row_tiles = (m + tile_rows - 1) / tile_rows, column_tiles = (n + tile_columns - 1) / tile_columns;
  // Operands as tiles, filled up with zeros.
  std::vector<float> a(row_tiles * k * tile_rows), b(column_tiles * tile_columns * k);
  float tile[tile_columns][tile_rows];
  for (int32_t batch = 0; batch < problem.batch_count; ++batch) {
    for (size_t p = 0; p < k; ++p)
      for (size_t r = 0; r < m; ++r)
        a[(r / tile_rows * k + p) * tile_rows + r % tile_rows] = element(problem.a, problem.transpose_a, batch, r, p);
    for (size_t c = 0; c < n; ++c)
      for (size_t p = 0; p < k; ++p) b[c * k + p] = element(problem.b, problem.transpose_b, batch, p, c);
    for (size_t row_tile = 0; row_tile < row_tiles; ++row_tile) {
      for (size_t column_tile = 0; column_tile < column_tiles; ++column_tile) {
        multiply_tile(a.data() + row_tile * k * tile_rows, b.data() + column_tile * tile_columns * k, k, tile[0]);
        const size_t rows = std::min(tile_rows, m - row_tile * tile_rows);
        const size_t columns = std::min(tile_columns, n - column_tile * tile_columns);
        for (size_t c = 0; c < columns; ++c) {
          for (size_t r = 0; r < rows; ++r) {
            const size_t row = row_tile * tile_rows + r, column = column_tile * tile_columns + c;
            float value = problem.alpha * tile[c][r];
            if (problem.beta != 0) value += problem.beta * element(problem.c, false, batch, row, column);
            const size_t bytes = problem.d.element_bytes();
            if (problem.bias != nullptr)
              value += load(static_cast<const std::byte*>(problem.bias) + row * bytes, problem.d.type);
            store(problem.d.column(batch, column) + row * bytes, problem.d.type, value);
          }
        }
      }
    }
  }
}

}  // namespace sightline::emulator
