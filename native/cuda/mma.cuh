#pragma once

// Tensor-core products of bf16 and what feeds them: tiles of rows in shared memory, filled by asynchronous copies. sm_80.

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/elements.cuh"

namespace sightline::cuda {

/** Where a pointer to shared memory points, within it. */
__device__ inline uint32_t shared_address(const void* pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }

// ---- asynchronous copies

/** Copies 16 bytes to shared memory without waiting, or fills them with zeros without reading. Both aligned to 16 bytes. */
__device__ inline void copy_async_16(uint32_t shared, const void* global, bool wanted) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(wanted ? 16 : 0) : "memory");
}
/** The same of 4 bytes. */
__device__ inline void copy_async_4(uint32_t shared, const void* global, bool wanted) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(global), "r"(wanted ? 4 : 0) : "memory");
}
/** Ends a group: the copies that the thread has begun since the group before. */
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/** Waits until at most the last `Pending` groups of the thread are under way. Other threads see the copies after a barrier. */
template <int Pending>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

// ---- tiles

/**
 * Rows of `Width` bf16 in shared memory, aligned to 128 bytes. Their chunks of 16 bytes are permuted within the row such that
 * eight rows at one chunk lie in different banks, as `ldmatrix` reads them, and so do the chunks of a row.
 *
 * @tparam Width  a multiple of 16
 */
template <int Width>
struct Tile {
  static constexpr int chunks = Width / 8;
  static constexpr int row_bytes = Width * 2;
  static_assert(Width % 16 == 0);

  uint32_t address;

  /** What the index of a chunk is xor-ed with: as many low bits as keep it inside the row, changing before banks recur. */
  __device__ static int permutation(int row) {
    constexpr int bits = chunks % 8 == 0 ? 8 : chunks % 4 == 0 ? 4 : 2;
    return row / (8 / bits) % bits;
  }
  __device__ uint32_t at(int row, int chunk) const { return address + row * row_bytes + ((chunk ^ permutation(row)) << 4); }
  /** @param row  a multiple of 8 */
  __device__ Tile from_row(int row) const { return {address + row * row_bytes}; }
  __host__ __device__ static constexpr size_t bytes(int rows) { return static_cast<size_t>(rows) * row_bytes; }
};

/** Stores to and loads from a tile: ordinary ones in everything but what the address is. */
__device__ inline void store_shared_4(uint32_t address, uint32_t value) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(address), "r"(value) : "memory");
}
__device__ inline uint4 load_shared_16(uint32_t address) {
  uint4 value;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "r"(address)
               : "memory");
  return value;
}
// ---- products

/**
 * 16 x 16 of the left operand of a product. Lane l holds, two neighbours of a row to a word, of row l / 4 (words 0, 2) and
 * l / 4 + 8 (words 1, 3) the columns 2 (l % 4) (words 0, 1) and 8 further (words 2, 3).
 */
using LeftFragment = uint32_t[4];
/** 16 (along the sum) x 16 of the right operand: words 0 and 1 are its columns [0, 8), words 2 and 3 its columns [8, 16). */
using RightFragment = uint32_t[4];
/** 16 x 8 of a result: lane l holds of row l / 4 (0, 1) and l / 4 + 8 (2, 3) the columns 2 (l % 4) and the next. */
using Sums = float[4];

/** Four 8 x 8 matrices of 16-bit numbers: lane l gives the address of row l % 8 of matrix l / 8. */
__device__ inline void load_matrices(uint32_t (&words)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(row));
}
/** The same, each matrix transposed. */
__device__ inline void load_matrices_transposed(uint32_t (&words)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(row));
}

/** sums += left right, where the right operand's columns [0, 8) are b0, b1. Products exact, sums in fp32. */
__device__ inline void multiply_add(Sums& sums, const LeftFragment& left, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(b0), "r"(b1));
}

/** The tile's rows [0, 16), columns [16 k, 16 k + 16), as left operand. */
template <int Width>
__device__ inline void load_left(LeftFragment& left, Tile<Width> tile, int k) {
  const int lane = threadIdx.x % 32;
  load_matrices(left, tile.at(lane % 16, 2 * k + lane / 16));
}

/** 16 x 16 of sums, rounded, as the left operand of another product. */
__device__ inline void round_to_left(LeftFragment& left, const Sums& low, const Sums& high) {
  left[0] = pack_bf16(low[0], low[1]);
  left[1] = pack_bf16(low[2], low[3]);
  left[2] = pack_bf16(high[0], high[1]);
  left[3] = pack_bf16(high[2], high[3]);
}

/** sums[n] (16 x 8 each) += left . rows^T over columns [16 k, 16 k + 16) of 16 * Blocks rows of a tile, each a result's column. */
template <int Blocks, int Width>
__device__ inline void multiply_by_rows(Sums (&sums)[2 * Blocks], const LeftFragment& left, Tile<Width> rows, int k) {
  const int lane = threadIdx.x % 32, row = lane / 16 * 8 + lane % 8, chunk = 2 * k + lane / 8 % 2;
  const uint32_t address = rows.at(row, chunk);
#pragma unroll
  for (int block = 0; block < Blocks; ++block) {
    RightFragment right;
    load_matrices(right, address + block * 16 * Tile<Width>::row_bytes);
    multiply_add(sums[2 * block], left, right[0], right[1]);
    multiply_add(sums[2 * block + 1], left, right[2], right[3]);
  }
}

/** sums[n] (16 x 8 each, Width columns) += left . rows, the sum running over 16 rows of a tile. */
template <int Width>
__device__ inline void multiply_by_columns(Sums (&sums)[Width / 8], const LeftFragment& left, Tile<Width> rows) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int block = 0; block < Width / 16; ++block) {
    RightFragment right;
    load_matrices_transposed(right, rows.at(lane % 16, 2 * block + lane / 16));
    multiply_add(sums[2 * block], left, right[0], right[1]);
    multiply_add(sums[2 * block + 1], left, right[2], right[3]);
  }
}

}  // namespace sightline::cuda
