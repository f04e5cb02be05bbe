#include "ops/matmul.h"

#include <algorithm>

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "cuda/products.h"
#include "ops/cuda_scratch.h"
#include "ops/matmul_route.h"
#include "ops/matmul_skinny.h"

// What a product needs around cuBLASLt, which multiplies operands of one type and adds only what has its result's type.
// Both kernels are bound by memory traffic: one block per line and 1024 (with odd strides 256) of its elements, one vector
// per thread, no shared memory.

namespace sightline::cuda {
namespace {

/** to[line, i] = from[line, i], rounded to nearest even where `To` is bf16. Registers on sm_80: at most 16. */
template <int width, class From, class To>
__global__ void __launch_bounds__(256)
    matmul_convert_kernel(const From* from, int64_t from_stride, To* to, int64_t to_stride, int64_t length) {
  from += blockIdx.x * from_stride;
  to += blockIdx.x * to_stride;
  int64_t i = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * width;
  if (i + width <= length) {
    float x[width];
    load(from + i, x);
    store(to + i, x);
  } else {
    for (; i < length; ++i) {
      float x[1];
      load(from + i, x);
      store(to + i, x);
    }
  }
}

/** c[line, i] = (product[line, i] + bias[i]) + addend[line, i]; what is null counts as zero. Registers on sm_80: at most 32. */
template <int width, class C, class Addend>
__device__ void finish(const float* product, const float* bias, const Addend* addend, C* c) {
  float sum[width] = {}, x[width];
  if (product != nullptr) load(product, sum);
  if (bias != nullptr) {
    load(bias, x);
#pragma unroll
    for (int j = 0; j < width; ++j) sum[j] += x[j];
  }
  if (addend != nullptr) {
    load(addend, x);
#pragma unroll
    for (int j = 0; j < width; ++j) sum[j] += x[j];
  }
  store(c, sum);
}

template <int width, class C, class Addend>
__global__ void __launch_bounds__(256) matmul_finish_kernel(const float* product, const float* bias, const Addend* addend,
                                                            int64_t addend_stride, C* c, int64_t c_stride, int64_t length) {
  const auto at = [](auto* x, int64_t offset) { return x == nullptr ? x : x + offset; };
  product = at(product, blockIdx.x * length);
  addend = at(addend, blockIdx.x * addend_stride);
  c += blockIdx.x * c_stride;
  int64_t i = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * width;
  if (i + width <= length) {
    finish<width>(at(product, i), at(bias, i), at(addend, i), c + i);
  } else {
    for (; i < length; ++i) finish<1>(at(product, i), at(bias, i), at(addend, i), c + i);
  }
}

/** Blocks of `threads` threads for lines of `length` elements, `width` per thread. */
dim3 line_grid(int64_t lines, int64_t length, int width, unsigned threads) {
  const int64_t per_block = static_cast<int64_t>(threads) * width;
  return dim3(static_cast<unsigned>(lines), static_cast<unsigned>((length + per_block - 1) / per_block));
}

/** A matrix as cuBLASLt takes it: its columns are our rows, unless it is transposed. */
struct Operand {
  const void* data;
  bool by_rows;
  int64_t stride;
};

/** As it lies, or, where cuBLASLt would not take it so, a copy. */
Operand to_operand(CudaContext& context, const ProductOperand& operand) {
  const ConstElements from = operand.from;
  if (operand.copied_bytes == 0) return {from.data, operand.by_rows, operand.stride};
  Elements to(context.scratch(operand.copied_bytes), operand.type);
  with_type(from.type, [&]<class From>(Type<From>) {
    with_type(to.type, [&]<class To>(Type<To>) {
      with_width(
          [&](auto width) {
            const unsigned threads = row_threads((operand.length + width() - 1) / width());
            context.launch(matmul_convert_kernel<width(), From, To>, line_grid(operand.lines, operand.length, width(), threads),
                           dim3(threads), 0, from.as<From>(), operand.stride, to.as<To>(), operand.copied_stride, operand.length);
          },
          operand.stride, from.as<From>(), to.as<To>());
    });
  });
  return {to.data, operand.by_rows, operand.copied_stride};
}

/** C = product (M, N) + bias + addend, or added to C. */
void finish(CudaContext& context, const float* product, const MatmulArgs& args) {
  const ConstElements addend = args.accumulate ? ConstElements(args.c) : args.addend;
  const int64_t addend_stride = args.accumulate ? args.c_row_stride : args.addend_row_stride;
  with_type(args.c.type, [&]<class C>(Type<C>) {
    with_type(addend.type, [&]<class Addend>(Type<Addend>) {
      const bool aligned = vectors_fit<float>(args.n, product) && vectors_fit<float>(args.n, args.bias) &&
                           (!addend || addend_stride % 4 == 0) && args.c_row_stride % 4 == 0 &&
                           alignment_of(addend.data) >= 16 && alignment_of(args.c.data) >= 16;
      const auto launch = [&](auto width) {
        const unsigned threads = row_threads((args.n + width() - 1) / width());
        context.launch(matmul_finish_kernel<width(), C, Addend>, line_grid(args.m, args.n, width(), threads), dim3(threads), 0,
                       product, args.bias, addend.as<Addend>(), addend_stride, args.c.as<C>(), args.c_row_stride, args.n);
      };
      if (aligned)
        launch(std::integral_constant<int, 4>());
      else
        launch(std::integral_constant<int, 1>());
    });
  });
}

}  // namespace

void CudaContext::multiply(const MatmulArgs& args) {
  if (args.m == 0 || args.n == 0) return;
  if (args.k == 0) return finish(*this, nullptr, args);
  const ProductRoute route = product_route(args);
  const DType operands = route.operands;
  const Operand a = to_operand(*this, route.a);
  const Operand b = args.packed_b != nullptr ? Operand{args.packed_b, true, args.n} : to_operand(*this, route.b);
  const ConstElements addend = args.accumulate ? ConstElements(args.c) : args.addend;
  const bool direct = route.direct();

  // Row by row, C is column by column the transpose of C: C^T = B^T A^T.
  ProductArrays arrays{b.data, a.data, nullptr, nullptr, nullptr};
  arrays.d = direct ? args.c.data : scratch(route.sum_bytes);
  arrays.c = direct && addend ? addend.data : arrays.d;
  arrays.bias = direct ? args.bias : nullptr;
  const ProductShape shape{.operands = operands,
                           .result = direct ? args.c.type : DType::f32,
                           .a_transposed = !b.by_rows,
                           .b_transposed = !a.by_rows,
                           .rows = args.n,
                           .columns = args.m,
                           .depth = args.k,
                           .a_stride = b.stride,
                           .b_stride = a.stride,
                           .d_stride = direct ? std::max(args.c_row_stride, args.m == 1 ? args.n : 1) : args.n,
                           .has_bias = arrays.bias != nullptr,
                           .has_addend = direct && addend,
                           .a_alignment = alignment_of(arrays.a),
                           .b_alignment = alignment_of(arrays.b),
                           .c_alignment = alignment_of(arrays.c),
                           .d_alignment = alignment_of(arrays.d)};
  products().multiply(shape, args.alpha, arrays, stream());
  if (!direct) finish(*this, static_cast<const float*>(arrays.d), args);
}

void matmul(CudaContext& context, const MatmulArgs& args) {
  if (matmul_skinny_fits(args))
    matmul_skinny(context, args);
  else
    context.multiply(args);
}

}  // namespace sightline::cuda
