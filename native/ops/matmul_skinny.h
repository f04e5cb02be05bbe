#pragma once

#include "ops/matmul_route.h"

namespace sightline::cuda {

class CudaContext;

/**
 * `matmul` where `matmul_skinny_fits`: bound by reading B once. Row m of C is the same bits whatever the other rows and their
 * number; the order of a sum is a function of K alone.
 */
void matmul_skinny(CudaContext& context, const MatmulArgs& args);

}  // namespace sightline::cuda
