#pragma once

#include <string>

#include "cuda/cuda_interface.h"

namespace sightline {

/** The CUDA backend's library as it was opened. */
struct CudaLibrary {
  const cuda::Interface& interface;
  std::string file;
};

/**
 * The file that SIGHTLINE_CUDA_LIBRARY names, else libsightline_cuda.so beside this module; opened at the first call and
 * never closed. Thread-safe.
 *
 * @throws Error unsupported: there is none, or it was built from other sources; a later call tries again
 */
const CudaLibrary& cuda_library();

}  // namespace sightline
