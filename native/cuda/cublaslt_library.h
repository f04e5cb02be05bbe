#pragma once

#include "cuda/cublaslt_api.h"

namespace sightline::cuda::cublaslt {

/**
 * The functions of libcublasLt.so.13 or .12, opened at the first call; SIGHTLINE_CUBLASLT may name the file. Thread-safe.
 *
 * @throws Error unsupported when there is no such library; the message says how to get it, and a later call tries again
 */
const Functions& functions();

/** The name of a status, e.g. "CUBLAS_STATUS_INVALID_VALUE". */
const char* status_name(Status status);

}  // namespace sightline::cuda::cublaslt
