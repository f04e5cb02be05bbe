// Errors and versions of the CUDA runtime.
#include <utility>

#include "emulator/runtime/api.h"
#include "emulator/runtime/runtime.h"

using namespace sightline::emulator;

namespace sightline::emulator {

SIGHTLINE_EMULATOR_API CudaError cudaGetLastError() {
  const CudaError last = std::exchange(thread_state().last_error, CudaError::success);
  if (last != CudaError::success) return last;
  // What broke the device stays, and shows even to a thread that has not called since.
  return on_device([](Device&) {});
}

SIGHTLINE_EMULATOR_API CudaError cudaPeekAtLastError() {
  const CudaError last = thread_state().last_error;
  return last != CudaError::success ? last : on_device([](Device&) {});
}

SIGHTLINE_EMULATOR_API const char* cudaGetErrorName(CudaError error) {
  switch (error) {
#define SIGHTLINE_NAME(name, value, text, description) \
  case CudaError::name: return text;
    SIGHTLINE_CUDA_ERRORS(SIGHTLINE_NAME)
#undef SIGHTLINE_NAME
  }
  return "unrecognized error code";
}

SIGHTLINE_EMULATOR_API const char* cudaGetErrorString(CudaError error) {
  switch (error) {
#define SIGHTLINE_DESCRIPTION(name, value, text, description) \
  case CudaError::name: return description;
    SIGHTLINE_CUDA_ERRORS(SIGHTLINE_DESCRIPTION)
#undef SIGHTLINE_DESCRIPTION
  }
  return "unrecognized error code";
}

SIGHTLINE_EMULATOR_API CudaError cudaRuntimeGetVersion(int* version) {
  return guarded([&] {
    if (version == nullptr) refuse(CudaError::invalid_value, "cudaRuntimeGetVersion: version is null");
    *version = 13000;
    return CudaError::success;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }

}  // namespace sightline::emulator
