#include "emulator/ptx/lanes/lanewise.h"

// mma.sync: D (16 x 8) = A (16 x 16, row major) B (16 x 8, column major) + C, spread over the registers of a warp.
//
// With group = lane / 4 and pair = 2 (lane % 4), the fragments of lane hold (PTX ISA, "Matrix fragments for mma.m16n8k16"):
//   A  a0: rows group, columns pair and pair + 1; a1: row group + 8; a2: columns + 8; a3: both
//   B  b0: rows pair and pair + 1 of column group; b1: rows + 8
//   C  c0, c1: row group, columns pair and pair + 1; c2, c3: row group + 8
namespace sightline::emulator::SIGHTLINE_ISA {
namespace {

constexpr int tile_rows = 16, tile_columns = 8, tile_depth = 16;

float low_half(uint32_t word) { return std::bit_cast<float>(word << 16); }
float high_half(uint32_t word) { return std::bit_cast<float>(word & 0xffff0000u); }

/**
 * Products of bfloat16 values are exact in float32, so a fused and a separate multiply-add give the same bits unless the product
 * lies below the smallest normal number or overflows.
 */
float multiply_add(float a, float b, float c) {
#ifdef __FMA__
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

void multiply_bf16(const Registers& registers, const Instruction& instruction, uint32_t) {
  alignas(64) float a[tile_rows][tile_depth], b[tile_depth][tile_columns], c[tile_rows][tile_columns];
  const uint32_t* source[10];
  for (int k = 0; k < 10; ++k) source[k] = registers.lanes<uint32_t>(instruction.source[k]);
  for (int lane = 0; lane < warp_lanes; ++lane) {
    const int group = lane >> 2, pair = 2 * (lane & 3);
    for (int part = 0; part < 4; ++part) {
      float* element = &a[group + (part & 1) * 8][pair + (part >> 1) * 8];
      element[0] = low_half(source[part][lane]);
      element[1] = high_half(source[part][lane]);
      c[group + (part >> 1) * 8][pair + (part & 1)] = std::bit_cast<float>(source[6 + part][lane]);
    }
    for (int part = 0; part < 2; ++part) {
      b[pair + part * 8][group] = low_half(source[4 + part][lane]);
      b[pair + part * 8 + 1][group] = high_half(source[4 + part][lane]);
    }
  }
  // Eight rows of accumulators at a time stay in vector registers.
  for (int first = 0; first < tile_rows; first += 8) {
    float sum[8][tile_columns];
    std::memcpy(sum, c[first], sizeof sum);
    for (int k = 0; k < tile_depth; ++k)
#pragma GCC unroll 8
      for (int row = 0; row < 8; ++row)
        for (int column = 0; column < tile_columns; ++column) sum[row][column] = multiply_add(a[first + row][k], b[k][column], sum[row][column]);
    std::memcpy(c[first], sum, sizeof sum);
  }
  for (int part = 0; part < 4; ++part) {
    uint32_t* destination = registers.lanes<uint32_t>(instruction.destination[part]);
    for (int lane = 0; lane < warp_lanes; ++lane)
      destination[lane] = std::bit_cast<uint32_t>(c[(lane >> 2) + (part >> 1) * 8][2 * (lane & 3) + (part & 1)]);
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
