#pragma once

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace sightline::cuda {

/**
 * Throws unless a call of the CUDA runtime succeeded: out_of_memory where memory ran out, else internal.
 * @param what  what was being done, for the message
 */
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  fail(status == cudaErrorMemoryAllocation ? ErrorCode::out_of_memory : ErrorCode::internal, "CUDA: ", what, ": ",
       cudaGetErrorString(status), " (", cudaGetErrorName(status), ")");
}

}  // namespace sightline::cuda
