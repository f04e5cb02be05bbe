#include "ops/matmul_skinny.h"

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "cuda/mma.cuh"
#include "cuda/reduce.cuh"

namespace sightline::cuda {
namespace {

constexpr int warps = 8;
constexpr int block_columns = 64;
constexpr int step_depth = skinny_depth;

struct SkinnyArguments {
  const void* a;
  const bf16* b;
  void* c;
  const float* bias;
  const void* addend;
  int64_t a_row_stride, b_column_stride, c_row_stride, addend_row_stride;
  int m, n, k;
  float alpha;
  bool addend_is_bf16;
};

/** Eight neighbours of a row of A, rounded, as four words. */
__device__ uint4 load_left(const float* from) {
  float x[8];
  load(from, *reinterpret_cast<float(*)[4]>(x));
  load(from + 4, *reinterpret_cast<float(*)[4]>(x + 4));
  return make_uint4(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7]));
}
__device__ uint4 load_left(const bf16* from) { return *reinterpret_cast<const uint4*>(from); }

}  // namespace

/**
 * Grid (N / 64), 8 warps per block. A block computes 64 columns; its warps take the 32 elements of each column of each of the steps
 * along K in turn, and their sums are added in order of warp through shared memory (34 KB), so that the order is a function of K.
 *
 * B goes from memory to registers once: of each column a step is 64 neighbouring bytes, two sectors, of which lane 4 g + u reads 16,
 * for the 8 columns from 8 g on: 4 KB in flight per warp. The tensor cores multiply 16 along K. Which k an operand's slot stands for
 * is free as long as both operands agree, and which column as long as the result is read so: in the first of a step's two products
 * slots 2 u, 2 u + 1, 2 u + 8, 2 u + 9 stand for k = 8 u ... 8 u + 3, in the second for the four behind them, and column g of the
 * j-th pair of products for column 8 g + j. So a lane needs no other lane's part of B, and its part of A is 8 neighbours.
 *
 * Partial sums lie in rows of 68 floats and lanes with u >= 2 write their quads in another order, so that a quarter of a warp writes
 * to 32 different banks. Registers on sm_80: at most 124.
 */
template <int rows, class A, class C>
__global__ void __launch_bounds__(warps* warp_lanes, 2) matmul_skinny_kernel(SkinnyArguments args) {
  constexpr int halves = rows / 8, stride = block_columns + 4;
  __shared__ alignas(16) float partials[warps][rows][stride];
  const int warp = static_cast<int>(threadIdx.x / warp_lanes), lane = static_cast<int>(threadIdx.x % warp_lanes);
  const int g = lane / 4, u = lane % 4;
  const int first_column = static_cast<int>(blockIdx.x) * block_columns;
  const bool inside = first_column + 8 * g < args.n;
  const bf16* b = args.b + static_cast<int64_t>(first_column + 8 * g) * args.b_column_stride + 8 * u;
  const A* a = static_cast<const A*>(args.a) + g * args.a_row_stride + 8 * u;

  Sums sums[8] = {};
  for (int k = warp * step_depth; k < args.k; k += warps * step_depth) {
    uint4 right[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      right[j] = make_uint4(0, 0, 0, 0);
      if (inside) right[j] = *reinterpret_cast<const uint4*>(b + j * args.b_column_stride + k);
    }
    LeftFragment low, high;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint4 words = make_uint4(0, 0, 0, 0);
      if (half < halves && g + 8 * half < args.m) words = load_left(a + 8 * half * args.a_row_stride + k);
      low[half] = words.x;
      low[half + 2] = words.y;
      high[half] = words.z;
      high[half + 2] = words.w;
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      multiply_add(sums[j], low, right[j].x, right[j].y);
      multiply_add(sums[j], high, right[j].z, right[j].w);
    }
  }

#pragma unroll
  for (int half = 0; half < halves; ++half) {
    float* row = partials[warp][g + 8 * half] + 16 * u;
    // The lane's 16 columns: those of `sums[j][2 * half]`, then those of the next.
    const auto quad = [&](int q) {
      const int j = q % 2 * 4, i = 2 * half + q / 2;
      return make_float4(sums[j][i], sums[j + 1][i], sums[j + 2][i], sums[j + 3][i]);
    };
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const float4 here = quad(q), across = quad(q ^ 2);
      const float4 value = make_float4(u < 2 ? here.x : across.x, u < 2 ? here.y : across.y, u < 2 ? here.z : across.z,
                                       u < 2 ? here.w : across.w);
      *reinterpret_cast<float4*>(row + 4 * (u < 2 ? q : q ^ 2)) = value;
    }
  }
  __syncthreads();

  const int m = static_cast<int>(threadIdx.x) / (block_columns / 4), within = static_cast<int>(threadIdx.x) % (block_columns / 4) * 4;
  const int column = first_column + within;
  if (m >= rows || m >= args.m || column >= args.n) return;
  float total[4];
  load(partials[0][m] + within, total);
#pragma unroll
  for (int w = 1; w < warps; ++w) {
    float part[4];
    load(partials[w][m] + within, part);
#pragma unroll
    for (int j = 0; j < 4; ++j) total[j] += part[j];
  }
  float addition[4] = {};
  if (args.bias) load(args.bias + column, addition);
#pragma unroll
  for (int j = 0; j < 4; ++j) total[j] = fmaf(args.alpha, total[j], addition[j]);
  if (args.addend) {
    const int64_t at = m * args.addend_row_stride + column;
    if (args.addend_is_bf16)
      load(static_cast<const bf16*>(args.addend) + at, addition);
    else
      load(static_cast<const float*>(args.addend) + at, addition);
#pragma unroll
    for (int j = 0; j < 4; ++j) total[j] += addition[j];
  }
  store(static_cast<C*>(args.c) + m * args.c_row_stride + column, total);
}

void matmul_skinny(CudaContext& context, const MatmulArgs& a) {
  const ConstElements addend = a.accumulate ? ConstElements(a.c) : a.addend;
  const SkinnyArguments arguments{.a = a.a.data,
                                  .b = a.b.as<bf16>(),
                                  .c = a.c.data,
                                  .bias = a.bias,
                                  .addend = addend.data,
                                  .a_row_stride = a.a_row_stride,
                                  .b_column_stride = a.b_column_stride,
                                  .c_row_stride = a.c_row_stride,
                                  .addend_row_stride = a.accumulate ? a.c_row_stride : a.addend_row_stride,
                                  .m = static_cast<int>(a.m),
                                  .n = static_cast<int>(a.n),
                                  .k = static_cast<int>(a.k),
                                  .alpha = a.alpha,
                                  .addend_is_bf16 = addend.type == DType::bf16};
  if (a.m == 0) return;
  const auto launch = [&](auto kernel) {
    context.launch(kernel, dim3(static_cast<unsigned>((a.n + block_columns - 1) / block_columns)), dim3(warps * warp_lanes), 0, arguments);
  };
  with_type(a.a.type, [&]<class A>(Type<A>) {
    with_type(a.c.type, [&]<class C>(Type<C>) {
      if (a.m <= 8)
        launch(matmul_skinny_kernel<8, A, C>);
      else
        launch(matmul_skinny_kernel<16, A, C>);
    });
  });
}

}  // namespace sightline::cuda
