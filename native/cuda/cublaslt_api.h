#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;

/**
 * The part of cuBLASLt that the backend calls, declared anew so that neither building nor loading it needs the library.
 * Names are NVIDIA's without their prefixes. Values hold for cuBLASLt 12 and 13; a test compares them with the real
 * headers where those are found.
 * Source: cuBLAS documentation, "Using the cuBLASLt API".
 */
namespace sightline::cuda::cublaslt {

enum class Status : int {
  success = 0,
  not_initialized = 1,
  alloc_failed = 3,
  invalid_value = 7,
  arch_mismatch = 8,
  mapping_error = 11,
  execution_failed = 13,
  internal_error = 14,
  not_supported = 15,
  license_error = 16
};

/** cudaDataType_t */
enum class DataType : int { r_32f = 0, r_16bf = 14 };
/** cublasComputeType_t */
enum class ComputeType : int { f32 = 68 };
/** cublasOperation_t; the type of transa and transb (int32_t) */
enum class Transpose : int32_t { none = 0, transpose = 1 };
/** cublasLtEpilogue_t; the type of the epilogue (uint32_t) */
enum class Epilogue : uint32_t { none = 1, bias = 4 };
/** cublasLtOrder_t; the type of the order (int32_t) */
enum class Order : int32_t { column = 0, row = 1 };

/** cublasLtMatmulDescAttributes_t */
enum class MatmulAttribute : int {
  compute_type = 0,
  scale_type = 1,
  pointer_mode = 2,
  /** Transpose of A, of B. */
  transa = 3,
  transb = 4,
  /** Epilogue. */
  epilogue = 7,
  /** const void*: device memory of one element per row of D, of D's type unless bias_data_type says otherwise. */
  bias_pointer = 8,
  /** DataType (int32_t). */
  bias_data_type = 26
};

/** cublasLtMatrixLayoutAttribute_t */
enum class LayoutAttribute : int {
  type = 0,
  /** Order. */
  order = 1,
  rows = 2,
  columns = 3,
  leading_dimension = 4,
  /** int32_t: number of matrices. */
  batch_count = 5,
  /** int64_t: elements from one matrix to the next. */
  strided_batch_offset = 6
};

/** cublasLtMatmulPreferenceAttributes_t */
enum class PreferenceAttribute : int {
  search_mode = 0,
  /** uint64_t. */
  max_workspace_bytes = 1,
  reduction_scheme_mask = 3,
  /** uint32_t each: what the pointers to A, B, C, D are multiples of; 256 unless set. */
  min_alignment_a_bytes = 5,
  min_alignment_b_bytes = 6,
  min_alignment_c_bytes = 7,
  min_alignment_d_bytes = 8
};

struct Context;
struct MatmulDescription;
struct MatrixLayout;
struct MatmulPreference;
using Handle = Context*;

/** cublasLtMatmulAlgo_t */
struct MatmulAlgorithm {
  uint64_t data[8];
};

/** cublasLtMatmulHeuristicResult_t */
struct HeuristicResult {
  MatmulAlgorithm algorithm;
  size_t workspace_bytes;
  Status state;
  float waves_count;
  int reserved[4];
};

/** The functions, by the names that they have in the library without "cublasLt". */
struct Functions {
  size_t (*get_version)();
  Status (*create)(Handle* handle);
  Status (*destroy)(Handle handle);
  Status (*matmul_desc_create)(MatmulDescription** description, ComputeType compute, DataType scale);
  Status (*matmul_desc_destroy)(MatmulDescription* description);
  Status (*matmul_desc_set_attribute)(MatmulDescription* description, MatmulAttribute attribute, const void* value,
                                      size_t bytes);
  Status (*matrix_layout_create)(MatrixLayout** layout, DataType type, uint64_t rows, uint64_t columns,
                                 int64_t leading_dimension);
  Status (*matrix_layout_destroy)(MatrixLayout* layout);
  Status (*matrix_layout_set_attribute)(MatrixLayout* layout, LayoutAttribute attribute, const void* value, size_t bytes);
  Status (*matmul_preference_create)(MatmulPreference** preference);
  Status (*matmul_preference_destroy)(MatmulPreference* preference);
  Status (*matmul_preference_set_attribute)(MatmulPreference* preference, PreferenceAttribute attribute, const void* value,
                                            size_t bytes);
  Status (*matmul_algo_get_heuristic)(Handle handle, MatmulDescription* description, MatrixLayout* a, MatrixLayout* b,
                                      MatrixLayout* c, MatrixLayout* d, MatmulPreference* preference, int requested,
                                      HeuristicResult* results, int* returned);
  /** D = alpha op(A) op(B) + beta C, column-major; alpha and beta are host fp32. */
  Status (*matmul)(Handle handle, MatmulDescription* description, const void* alpha, const void* a, MatrixLayout* a_layout,
                   const void* b, MatrixLayout* b_layout, const void* beta, const void* c, MatrixLayout* c_layout, void* d,
                   MatrixLayout* d_layout, const MatmulAlgorithm* algorithm, void* workspace, size_t workspace_bytes,
                   CUstream_st* stream);
};

}  // namespace sightline::cuda::cublaslt
