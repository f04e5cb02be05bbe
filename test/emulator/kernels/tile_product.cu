// C (m x n, float32) = A (m x k) B (n x k)^T, bfloat16, k a multiple of 64: tiles of 64 x 64, 4 warps of 16 rows, two stages of
// cp.async. REMOVED_SWIZZLE, SHORT_WAIT and EARLY_REUSE plant bugs.
#include <cstdint>

namespace {

constexpr int tile = 64, chunks = tile / 8, threads = 128;

/** Offset of 8 elements of a row; eight consecutive rows lie in different banks. */
__device__ int place(int row, int chunk) {
#ifdef REMOVED_SWIZZLE
  return row * tile + chunk * 8;
#else
  return row * tile + ((chunk ^ (row & 7)) * 8);
#endif
}

__device__ uint32_t shared_address(const void* pointer) { return uint32_t(__cvta_generic_to_shared(pointer)); }

__device__ void copy_16(uint16_t* to, const uint16_t* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0));
}

template <int pending>
__device__ void wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending));
}

__device__ void load_matrix(uint32_t (&r)[4], const uint16_t* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row)));
}

__device__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ void load_tile(uint16_t* to, const uint16_t* from, int first, int rows, int k, int step) {
  for (int i = threadIdx.x; i < tile * chunks; i += threads) {
    const int row = i / chunks, chunk = i % chunks;
    const bool valid = first + row < rows;
    copy_16(to + place(row, chunk), from + size_t(valid ? first + row : 0) * k + step * tile + chunk * 8, valid);
  }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(threads) tile_product(float* c, const uint16_t* a, const uint16_t* b, int m, int n, int k) {
  extern __shared__ __align__(128) uint16_t stages[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, row0 = blockIdx.y * tile, column0 = blockIdx.x * tile;
  const auto stage_a = [&](int step) { return stages + (step & 1) * 2 * tile * tile; };
  const auto load = [&](int step) {
    load_tile(stage_a(step), a, row0, m, k, step);
    load_tile(stage_a(step) + tile * tile, b, column0, n, k, step);
    asm volatile("cp.async.commit_group;");
  };
  float sum[tile / 8][4] = {};
  load(0);
  for (int step = 0; step < k / tile; ++step) {
    if (step + 1 < k / tile) {
      load(step + 1);
#ifdef SHORT_WAIT
      wait<2>();
#else
      wait<1>();
#endif
    } else {
      wait<0>();
    }
    __syncthreads();
    const uint16_t *tile_a = stage_a(step), *tile_b = tile_a + tile * tile;
#pragma unroll
    for (int depth = 0; depth < tile / 16; ++depth) {
      uint32_t left[4];
      load_matrix(left, tile_a + place(warp * 16 + lane % 16, 2 * depth + lane / 16));
#pragma unroll
      for (int pair = 0; pair < tile / 16; ++pair) {
        uint32_t right[4];
        load_matrix(right, tile_b + place(pair * 16 + lane / 16 * 8 + lane % 8, 2 * depth + lane / 8 % 2));
        multiply(sum[2 * pair], left, right[0], right[1]);
        multiply(sum[2 * pair + 1], left, right[2], right[3]);
      }
    }
#ifndef EARLY_REUSE
    __syncthreads();
#endif
  }
#pragma unroll
  for (int part = 0; part < tile / 8; ++part)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = row0 + warp * 16 + lane / 4 + half * 8, column = column0 + part * 8 + lane % 4 * 2;
      if (row < m && column < n) *reinterpret_cast<float2*>(c + size_t(row) * n + column) = make_float2(sum[part][2 * half], sum[part][2 * half + 1]);
    }
}
