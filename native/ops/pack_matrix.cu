#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "cuda/reduce.cuh"
#include "ops/matmul.h"

// A packed matrix on the GPU is B (K, N), row-major without padding, in the type that the precision multiplies. Where B's rows are
// contiguous that is a copy, one block per row. Where its columns are, 32 x 32 tiles are transposed through shared memory (4.2 KB),
// whose rows are 33 words apart so that a column lies in 32 banks; loads and stores are both whole sectors. Both are bound by
// memory traffic. Registers on sm_80: at most 26.

namespace sightline::cuda {

template <int width, class From, class To>
__global__ void __launch_bounds__(256) pack_matrix_rows_kernel(const From* b, int64_t b_row_stride, To* packed, int64_t n) {
  const From* from = b + blockIdx.x * b_row_stride;
  To* to = packed + blockIdx.x * n;
  for (int64_t i = threadIdx.x * width; i < n; i += blockDim.x * width) {
    float v[width];
    load(from + i, v);
    store(to + i, v);
  }
}

/** B[k][n] = b[n * b_column_stride + k]. Grid (K / 32, N / 32), blocks of 8 warps: a warp reads and writes every eighth row of a tile. */
template <class From, class To>
__global__ void __launch_bounds__(256) pack_matrix_transpose_kernel(const From* b, int64_t b_column_stride, To* packed, int64_t k,
                                                                    int64_t n) {
  constexpr int side = warp_lanes, warps = 8;
  __shared__ float tile[side][side + 1];
  const unsigned lane = threadIdx.x % warp_lanes, warp = threadIdx.x / warp_lanes;
  const int64_t first_k = static_cast<int64_t>(blockIdx.x) * side, first_n = static_cast<int64_t>(blockIdx.y) * side;
#pragma unroll
  for (int i = 0; i < side; i += warps) {
    const int64_t column = first_n + i + warp;
    if (column >= n || first_k + lane >= k) continue;
    float value[1];
    load(b + column * b_column_stride + first_k + lane, value);
    tile[i + warp][lane] = value[0];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < side; i += warps) {
    const int64_t row = first_k + i + warp;
    if (row >= k || first_n + lane >= n) continue;
    const float value[1] = {tile[lane][i + warp]};
    store(packed + row * n + first_n + lane, value);
  }
}

void pack_matrix(CudaContext& context, const PackMatrixArgs& a) {
  with_type(a.b.type, [&]<class From>(Type<From>) {
    with_type(a.precision == Precision::bf16 ? DType::bf16 : DType::f32, [&]<class To>(Type<To>) {
      const From* b = a.b.as<From>();
      To* packed = static_cast<To*>(a.packed);
      if (a.b_column_stride == 1) {
        const auto copy = [&](auto width) {
          context.launch(pack_matrix_rows_kernel<width(), From, To>, dim3(static_cast<unsigned>(a.k)), dim3(row_threads(a.n / width())),
                         0, b, a.b_row_stride, packed, a.n);
        };
        if (vectors_fit(a.b_row_stride, b, packed) && vectors_fit(a.n, b, packed))
          copy(std::integral_constant<int, vector_width<From, To>>());
        else
          copy(std::integral_constant<int, 1>());
      } else {
        const auto tiles = [](int64_t size) { return static_cast<unsigned>((size + warp_lanes - 1) / warp_lanes); };
        context.launch(pack_matrix_transpose_kernel<From, To>, dim3(tiles(a.k), tiles(a.n)), dim3(256), 0, b, a.b_column_stride, packed,
                       a.k, a.n);
      }
    });
  });
}

}  // namespace sightline::cuda
