// Holds our declarations of cuBLASLt against NVIDIA's. Compiled by libraries.test.ts, never linked.
#include <cublasLt.h>

#include <cstddef>
#include <type_traits>

#include "cuda/cublaslt_api.h"

namespace ours = sightline::cuda::cublaslt;

#define SAME(a, b) static_assert(static_cast<int>(a) == static_cast<int>(b))
SAME(ours::Status::success, CUBLAS_STATUS_SUCCESS);
SAME(ours::Status::not_initialized, CUBLAS_STATUS_NOT_INITIALIZED);
SAME(ours::Status::alloc_failed, CUBLAS_STATUS_ALLOC_FAILED);
SAME(ours::Status::invalid_value, CUBLAS_STATUS_INVALID_VALUE);
SAME(ours::Status::arch_mismatch, CUBLAS_STATUS_ARCH_MISMATCH);
SAME(ours::Status::mapping_error, CUBLAS_STATUS_MAPPING_ERROR);
SAME(ours::Status::execution_failed, CUBLAS_STATUS_EXECUTION_FAILED);
SAME(ours::Status::internal_error, CUBLAS_STATUS_INTERNAL_ERROR);
SAME(ours::Status::not_supported, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(ours::Status::license_error, CUBLAS_STATUS_LICENSE_ERROR);
SAME(ours::DataType::r_32f, CUDA_R_32F);
SAME(ours::DataType::r_16bf, CUDA_R_16BF);
SAME(ours::ComputeType::f32, CUBLAS_COMPUTE_32F);
SAME(ours::Transpose::none, CUBLAS_OP_N);
SAME(ours::Transpose::transpose, CUBLAS_OP_T);
SAME(ours::Epilogue::none, CUBLASLT_EPILOGUE_DEFAULT);
SAME(ours::Epilogue::bias, CUBLASLT_EPILOGUE_BIAS);
SAME(ours::Order::column, CUBLASLT_ORDER_COL);
SAME(ours::Order::row, CUBLASLT_ORDER_ROW);
SAME(ours::MatmulAttribute::compute_type, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE);
SAME(ours::MatmulAttribute::scale_type, CUBLASLT_MATMUL_DESC_SCALE_TYPE);
SAME(ours::MatmulAttribute::pointer_mode, CUBLASLT_MATMUL_DESC_POINTER_MODE);
SAME(ours::MatmulAttribute::transa, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(ours::MatmulAttribute::transb, CUBLASLT_MATMUL_DESC_TRANSB);
SAME(ours::MatmulAttribute::epilogue, CUBLASLT_MATMUL_DESC_EPILOGUE);
SAME(ours::MatmulAttribute::bias_pointer, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
SAME(ours::MatmulAttribute::bias_data_type, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
SAME(ours::LayoutAttribute::type, CUBLASLT_MATRIX_LAYOUT_TYPE);
SAME(ours::LayoutAttribute::order, CUBLASLT_MATRIX_LAYOUT_ORDER);
SAME(ours::LayoutAttribute::rows, CUBLASLT_MATRIX_LAYOUT_ROWS);
SAME(ours::LayoutAttribute::columns, CUBLASLT_MATRIX_LAYOUT_COLS);
SAME(ours::LayoutAttribute::leading_dimension, CUBLASLT_MATRIX_LAYOUT_LD);
SAME(ours::LayoutAttribute::batch_count, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
SAME(ours::LayoutAttribute::strided_batch_offset, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
SAME(ours::PreferenceAttribute::search_mode, CUBLASLT_MATMUL_PREF_SEARCH_MODE);
SAME(ours::PreferenceAttribute::max_workspace_bytes, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(ours::PreferenceAttribute::reduction_scheme_mask, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
SAME(ours::PreferenceAttribute::min_alignment_a_bytes, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(ours::PreferenceAttribute::min_alignment_b_bytes, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME(ours::PreferenceAttribute::min_alignment_c_bytes, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME(ours::PreferenceAttribute::min_alignment_d_bytes, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);

static_assert(sizeof(ours::MatmulAlgorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(ours::HeuristicResult) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(ours::HeuristicResult, workspace_bytes) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(ours::HeuristicResult, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));
static_assert(offsetof(ours::HeuristicResult, waves_count) == offsetof(cublasLtMatmulHeuristicResult_t, wavesCount));

/** Whether two functions take as many arguments, each of the same size, and return the same size. */
template <class A, class B>
struct SameCall : std::false_type {};
template <class R, class... A, class S, class... B>
  requires(sizeof...(A) == sizeof...(B))
struct SameCall<R (*)(A...), S (*)(B...)> : std::bool_constant<sizeof(R) == sizeof(S) && (... && (sizeof(A) == sizeof(B)))> {};
#define SAME_CALL(member, function) static_assert(SameCall<decltype(ours::Functions::member), decltype(&function)>::value)
SAME_CALL(get_version, cublasLtGetVersion);
SAME_CALL(create, cublasLtCreate);
SAME_CALL(destroy, cublasLtDestroy);
SAME_CALL(matmul_desc_create, cublasLtMatmulDescCreate);
SAME_CALL(matmul_desc_destroy, cublasLtMatmulDescDestroy);
SAME_CALL(matmul_desc_set_attribute, cublasLtMatmulDescSetAttribute);
SAME_CALL(matrix_layout_create, cublasLtMatrixLayoutCreate);
SAME_CALL(matrix_layout_destroy, cublasLtMatrixLayoutDestroy);
SAME_CALL(matrix_layout_set_attribute, cublasLtMatrixLayoutSetAttribute);
SAME_CALL(matmul_preference_create, cublasLtMatmulPreferenceCreate);
SAME_CALL(matmul_preference_destroy, cublasLtMatmulPreferenceDestroy);
SAME_CALL(matmul_preference_set_attribute, cublasLtMatmulPreferenceSetAttribute);
SAME_CALL(matmul_algo_get_heuristic, cublasLtMatmulAlgoGetHeuristic);
SAME_CALL(matmul, cublasLtMatmul);
