#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/cublaslt_api.h"

namespace sightline::emulator {

using cuda::cublaslt::DataType;

/** A column-major matrix: element (r, c) of matrix z lies at data[z * batch_stride + c * leading_dimension + r]. */
struct MatrixView {
  void* data;
  DataType type;
  uint64_t rows, columns;
  int64_t leading_dimension, batch_stride;

  size_t element_bytes() const { return type == DataType::r_32f ? 4 : 2; }
  std::byte* column(int32_t batch, uint64_t column) const {
    const int64_t element = batch * batch_stride + static_cast<int64_t>(column) * leading_dimension;
    return static_cast<std::byte*>(data) + element * static_cast<int64_t>(element_bytes());
  }
};

/** D = alpha op(A) op(B) + beta C + bias, with checked sizes. */
struct MatmulProblem {
  bool transpose_a, transpose_b;
  float alpha, beta;
  MatrixView a, b, c, d;
  int32_t batch_count;
  /** One element per row of D, of D's type, or null. */
  const void* bias;
};

/**
 * Computes it in fp32: products in order of k, then alpha, beta C, bias, and one rounding to D's type. A test double: it shows
 * wrong shapes, layouts and types, not what order a GPU sums in.
 */
void compute_matmul(const MatmulProblem& problem);

}  // namespace sightline::emulator
