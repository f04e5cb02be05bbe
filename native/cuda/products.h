#pragma once

#include <cuda_runtime_api.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>

#include "core/arena.h"
#include "core/elements.h"
#include "cuda/cublaslt_api.h"
#include "ops/cuda_scratch.h"

namespace sightline::cuda {

/**
 * Everything about a product that cuBLASLt chooses an algorithm by: D = alpha op(A) op(B) + beta C + bias, matrices stored
 * column by column, D and C (rows, columns), op(A) (rows, depth), op(B) (depth, columns).
 */
struct ProductShape {
  /** Of A and B. */
  DType operands;
  /** Of C and D. */
  DType result;
  bool a_transposed, b_transposed;
  int64_t rows, columns, depth;
  /** Elements from one stored column to the next; C's is D's. */
  int64_t a_stride, b_stride, d_stride;
  /** Whether a bias (rows) is added to every column; D must then be fp32. */
  bool has_bias;
  /** Whether C is added: beta is 1, else 0. */
  bool has_addend;
  /** What the pointers to A, B, C and D are multiples of, in bytes. */
  uint32_t a_alignment, b_alignment, c_alignment, d_alignment;

  auto operator<=>(const ProductShape&) const = default;
};

struct ProductArrays {
  const void* a;
  const void* b;
  /** May be D. */
  const void* c;
  void* d;
  const float* bias;
};

/**
 * Products by cuBLASLt. Each shape's algorithm is chosen once, from the shape and a workspace of fixed size alone, so that a
 * shape gives the same bits whenever it comes; other shapes may sum in another order. Sums are fp32, without TF32.
 */
class Products {
 public:
  /** @param arena  of the workspace; must outlive this @throws Error unsupported where there is no cuBLASLt */
  explicit Products(Arena& arena);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  /** Enqueues one product. @throws Error where cuBLASLt has no algorithm for it */
  void multiply(const ProductShape& shape, float alpha, const ProductArrays& arrays, cudaStream_t stream);

 private:
  struct Plan;

  static constexpr size_t workspace_bytes = product_workspace_bytes;
  /** Packed batches differ in length, so shapes keep coming. */
  static constexpr size_t most_plans = 4096;

  const Plan& plan(const ProductShape& shape, const float* bias);

  const cublaslt::Functions& functions_;
  cublaslt::Handle handle_ = nullptr;
  std::shared_ptr<Storage> workspace_;
  std::map<ProductShape, std::unique_ptr<Plan>> plans_;
};

}  // namespace sightline::cuda
