#pragma once

#include <memory>

#include "cuda/gpu_bench.h"

namespace sightline::cuda {

/** @param device  a CudaDevice; must outlive what is returned @throws Error out_of_memory */
std::unique_ptr<GpuBench> create_bench(Device& device);

}  // namespace sightline::cuda
