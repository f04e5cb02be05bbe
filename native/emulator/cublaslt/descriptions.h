#pragma once

#include <optional>

#include "cuda/cublaslt_api.h"

/** What the opaque handles of cuBLASLt hold here. */
namespace sightline::cuda::cublaslt {

struct Context {};

struct MatmulDescription {
  Transpose transa = Transpose::none, transb = Transpose::none;
  Epilogue epilogue = Epilogue::none;
  const void* bias = nullptr;
  std::optional<DataType> bias_type;
};

struct MatrixLayout {
  DataType type;
  uint64_t rows, columns;
  int64_t leading_dimension;
  int32_t batch_count = 1;
  int64_t batch_stride = 0;
  bool operator==(const MatrixLayout&) const = default;
};

struct MatmulPreference {
  uint64_t max_workspace_bytes = 0;
  /** Of the pointers to A, B, C, D. */
  uint32_t min_alignment[4] = {256, 256, 256, 256};
};

}  // namespace sightline::cuda::cublaslt
