#pragma once

#include "cuda/nccl_api.h"

namespace sightline::cuda::nccl {

/**
 * The functions of libnccl.so.2, opened at the first call; SIGHTLINE_NCCL may name the file. Thread-safe.
 *
 * @throws Error unsupported when there is no such library; the message says how to get it, and a later call tries again
 */
const Functions& functions();

}  // namespace sightline::cuda::nccl
