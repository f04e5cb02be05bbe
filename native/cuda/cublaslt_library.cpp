#include "cuda/cublaslt_library.h"

#include "cuda/dynamic_library.h"

namespace sightline::cuda::cublaslt {
namespace {

Functions load() {
  const DynamicLibrary library({.name = "cuBLASLt",
                                .variable = "SIGHTLINE_CUBLASLT",
                                .files = {"libcublasLt.so.13", "libcublasLt.so.12"},
                                .advice = "It comes with the CUDA toolkit 12 or 13 (package libcublas), or with "
                                          "`pip install nvidia-cublas`; its folder must be in LD_LIBRARY_PATH."});
  Functions table{};
  library.resolve("cublasLtGetVersion", table.get_version);
  library.resolve("cublasLtCreate", table.create);
  library.resolve("cublasLtDestroy", table.destroy);
  library.resolve("cublasLtMatmulDescCreate", table.matmul_desc_create);
  library.resolve("cublasLtMatmulDescDestroy", table.matmul_desc_destroy);
  library.resolve("cublasLtMatmulDescSetAttribute", table.matmul_desc_set_attribute);
  library.resolve("cublasLtMatrixLayoutCreate", table.matrix_layout_create);
  library.resolve("cublasLtMatrixLayoutDestroy", table.matrix_layout_destroy);
  library.resolve("cublasLtMatrixLayoutSetAttribute", table.matrix_layout_set_attribute);
  library.resolve("cublasLtMatmulPreferenceCreate", table.matmul_preference_create);
  library.resolve("cublasLtMatmulPreferenceDestroy", table.matmul_preference_destroy);
  library.resolve("cublasLtMatmulPreferenceSetAttribute", table.matmul_preference_set_attribute);
  library.resolve("cublasLtMatmulAlgoGetHeuristic", table.matmul_algo_get_heuristic);
  library.resolve("cublasLtMatmul", table.matmul);
  return table;
}

}  // namespace

const Functions& functions() {
  static const Functions table = load();  // throwing leaves it unset, so that the next call tries again
  return table;
}

const char* status_name(Status status) {
  switch (status) {
    case Status::success: return "CUBLAS_STATUS_SUCCESS";
    case Status::not_initialized: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case Status::alloc_failed: return "CUBLAS_STATUS_ALLOC_FAILED";
    case Status::invalid_value: return "CUBLAS_STATUS_INVALID_VALUE";
    case Status::arch_mismatch: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case Status::mapping_error: return "CUBLAS_STATUS_MAPPING_ERROR";
    case Status::execution_failed: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case Status::internal_error: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case Status::not_supported: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case Status::license_error: return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown status";
}

}  // namespace sightline::cuda::cublaslt
