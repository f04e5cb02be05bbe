#pragma once

#include "cuda/cuda_context.h"
#include "ops/op_table.h"

namespace sightline::cuda {

// The ops as kernels: each launcher enqueues its op on the context's stream. See the op's header for its contract.
#define SIGHTLINE_DECLARE(name, Args) void name(CudaContext& context, const Args& args);
SIGHTLINE_OPS(SIGHTLINE_DECLARE)
#undef SIGHTLINE_DECLARE

/** The ops on a GPU. They run with a CudaContext; arrays are device memory, but for what a Mirrored has on the host. */
const OpTable& cuda_ops();

}  // namespace sightline::cuda
