#include "emulator/ptx/lanes/lanewise.h"

// mma.sync: D (16 x 8) = A (16 x 16, row major) B (16 x 8, column major) + C, spread over the registers of a warp.
//
// With group = lane / 4 and pair = 2 (lane % 4), the fragments of lane hold (PTX ISA, "Matrix fragments for mma.m16n8k16"):
//   A  a0: rows group, columns pair and pair + 1; a1: row group + 8; a2: columns + 8; a3: both
//   B  b0: rows pair and pair + 1 of column group; b1: rows + 8
//   C  c0, c1: row group, columns pair and pair + 1; c2, c3: row group + 8
namespace sightline::emulator::SIGHTLINE_ISA {
namespace {

/** Eight floats, a row of a tile. */
typedef float Row8 __attribute__((vector_size(32)));

/** A quarter of a tile, 8 x 8, row by row: the two values of lane l are elements 2 l and 2 l + 1. */
struct alignas(64) Quarter {
  float elements[64];
};

void widen_pairs(const uint32_t* words, Quarter& quarter) {
  for (int lane = 0; lane < warp_lanes; ++lane) {
    quarter.elements[2 * lane] = std::bit_cast<float>(words[lane] << 16);
    quarter.elements[2 * lane + 1] = std::bit_cast<float>(words[lane] & 0xffff0000u);
  }
}

/**
 * The products of bfloat16 values are exact in float32, so that this file, alone, lets the compiler fuse multiplications with
 * additions: the bits are the same unless a product lies below the smallest normal number or overflows.
 */
void multiply_bf16(const Registers& registers, const Instruction& instruction, uint32_t) {
  const auto source = [&](int k) { return registers.lanes<uint32_t>(instruction.source[k]); };
  // b[h][k]: row 8 h + k of B, gathered from columns.
  Quarter a[4], columns;
  Row8 b[2][8];
  for (int part = 0; part < 4; ++part) widen_pairs(source(part), a[part]);
  for (int half = 0; half < 2; ++half) {
    widen_pairs(source(4 + half), columns);
    for (int k = 0; k < 8; ++k)
      for (int column = 0; column < 8; ++column) b[half][k][column] = columns.elements[8 * column + k];
  }
  // All sources are read before the first result is written: the results may be among them.
  Quarter c[2];
  for (int upper = 0; upper < 2; ++upper) {
    const uint32_t *even = source(6 + 2 * upper), *odd = source(7 + 2 * upper);
    for (int lane = 0; lane < warp_lanes; ++lane) {
      c[upper].elements[2 * lane] = std::bit_cast<float>(even[lane]);
      c[upper].elements[2 * lane + 1] = std::bit_cast<float>(odd[lane]);
    }
  }
  for (int upper = 0; upper < 2; ++upper) {
    Row8 sum[8];
    std::memcpy(sum, c[upper].elements, sizeof sum);
    for (int half = 0; half < 2; ++half) {
      const Quarter& factors = a[upper + 2 * half];
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k)
#pragma GCC unroll 8
        for (int row = 0; row < 8; ++row) sum[row] += factors.elements[8 * row + k] * b[half][k];
    }
    std::memcpy(c[upper].elements, sum, sizeof sum);
    uint32_t *even_result = registers.lanes<uint32_t>(instruction.destination[2 * upper]),
             *odd_result = registers.lanes<uint32_t>(instruction.destination[2 * upper + 1]);
    for (int lane = 0; lane < warp_lanes; ++lane) {
      even_result[lane] = std::bit_cast<uint32_t>(c[upper].elements[2 * lane]);
      odd_result[lane] = std::bit_cast<uint32_t>(c[upper].elements[2 * lane + 1]);
    }
  }
}

constexpr Width word = Width::word;

}  // namespace

RowList matrix_rows() {
  static constexpr Row all[] = {{"mma.sync.aligned.m16n8k16.row.col", ".f32.bf16", ".bf16.f32", 4, 10, {word, word, word, word},
                                 {word, word, word, word, word, word, word, word, word, word}, true, &multiply_bf16}};
  return {all, 1};
}

}  // namespace sightline::emulator::SIGHTLINE_ISA
