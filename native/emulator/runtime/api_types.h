#pragma once

#include <cstddef>
#include <cstdint>

/** Exported: the shared library of the emulator stands where the CUDA libraries would. */
#define SIGHTLINE_EMULATOR_API extern "C" __attribute__((visibility("default")))

/**
 * The types of the CUDA runtime's C interface, declared anew so that the emulator builds without a toolkit. They have the
 * layout and values of CUDA 12 and 13; check_cuda_headers.cpp compares them with the real headers wherever there are some.
 */
namespace sightline::emulator {

/** cudaError_t: enumerator, value, name, description. */
#define SIGHTLINE_CUDA_ERRORS(X)                                                                                     \
  X(success, 0, "cudaSuccess", "no error")                                                                           \
  X(invalid_value, 1, "cudaErrorInvalidValue", "invalid argument")                                                   \
  X(memory_allocation, 2, "cudaErrorMemoryAllocation", "out of memory")                                              \
  X(invalid_configuration, 9, "cudaErrorInvalidConfiguration", "invalid configuration argument")                     \
  X(invalid_symbol, 13, "cudaErrorInvalidSymbol", "invalid device symbol")                                           \
  X(missing_configuration, 52, "cudaErrorMissingConfiguration", "missing launch configuration")                      \
  X(invalid_device_function, 98, "cudaErrorInvalidDeviceFunction", "invalid device function")                        \
  X(no_device, 100, "cudaErrorNoDevice", "no CUDA-capable device is detected")                                       \
  X(invalid_device, 101, "cudaErrorInvalidDevice", "invalid device ordinal")                                         \
  X(no_kernel_image, 209, "cudaErrorNoKernelImageForDevice", "no kernel image is available")                         \
  X(invalid_ptx, 218, "cudaErrorInvalidPtx", "a PTX JIT compilation failed")                                         \
  X(invalid_handle, 400, "cudaErrorInvalidResourceHandle", "invalid resource handle")                                \
  X(not_ready, 600, "cudaErrorNotReady", "device not ready")                                                         \
  X(illegal_address, 700, "cudaErrorIllegalAddress", "an illegal memory access was encountered")                     \
  X(launch_out_of_resources, 701, "cudaErrorLaunchOutOfResources", "too many resources requested")                   \
  X(launch_timeout, 702, "cudaErrorLaunchTimeout", "the launch timed out and was terminated")                        \
  X(misaligned_address, 716, "cudaErrorMisalignedAddress", "misaligned address")                                     \
  X(launch_failure, 719, "cudaErrorLaunchFailure", "unspecified launch failure")                                     \
  X(not_supported, 801, "cudaErrorNotSupported", "operation not supported")                                          \
  X(capture_unsupported, 900, "cudaErrorStreamCaptureUnsupported", "not permitted when stream is capturing")         \
  X(capture_invalidated, 901, "cudaErrorStreamCaptureInvalidated", "capture failed due to a previous error")         \
  X(capture_merge, 902, "cudaErrorStreamCaptureMerge", "would merge two independent captures")                       \
  X(capture_unmatched, 903, "cudaErrorStreamCaptureUnmatched", "the capture was not begun in this stream")           \
  X(capture_unjoined, 904, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work")                   \
  X(capture_isolation, 905, "cudaErrorStreamCaptureIsolation", "dependency on uncaptured work in another stream")    \
  X(capture_implicit, 906, "cudaErrorStreamCaptureImplicit", "implicit dependency on the legacy stream")             \
  X(captured_event, 907, "cudaErrorCapturedEvent", "operation not permitted on an event last recorded in a capture") \
  X(capture_wrong_thread, 908, "cudaErrorStreamCaptureWrongThread", "capture ended by another thread")               \
  X(graph_update_failure, 910, "cudaErrorGraphExecUpdateFailure", "the graph update was not performed")              \
  X(unknown, 999, "cudaErrorUnknown", "unknown error")

enum class CudaError : int {
#define SIGHTLINE_ERROR_VALUE(name, value, text, description) name = value,
  SIGHTLINE_CUDA_ERRORS(SIGHTLINE_ERROR_VALUE)
#undef SIGHTLINE_ERROR_VALUE
};

/** cudaMemcpyKind */
enum class CopyKind : int { host_to_host = 0, host_to_device = 1, device_to_host = 2, device_to_device = 3, infer = 4 };

/** cudaStreamCaptureMode */
enum class CaptureMode : int { global = 0, thread_local_only = 1, relaxed = 2 };

/** cudaFuncAttribute */
enum class FunctionAttribute : int { max_dynamic_shared_bytes = 8, preferred_shared_carveout = 9 };

/** cudaStreamNonBlocking */
constexpr unsigned stream_non_blocking = 1;
/** cudaEventBlockingSync, cudaEventDisableTiming */
constexpr unsigned event_blocking_sync = 1, event_disable_timing = 2;

/** dim3 */
struct CudaDim3 {
  uint32_t x, y, z;
};

/** cudaFuncAttributes of CUDA 13; that of CUDA 12 is the same up to `cluster_scheduling_policy`. */
struct FunctionAttributes {
  size_t static_shared_bytes, constant_bytes, local_bytes;
  int max_threads_per_block, registers, ptx_version, binary_version, cache_mode, max_dynamic_shared_bytes;
  int preferred_shared_carveout, cluster_dimension_must_be_set;
  int required_cluster_width, required_cluster_height, required_cluster_depth;
  int cluster_scheduling_policy;
};

struct Stream;
struct Event;
struct Graph;
struct GraphExecutable;

/** cudaLaunchConfig_t */
struct LaunchConfiguration {
  CudaDim3 grid, block;
  size_t dynamic_shared_bytes;
  Stream* stream;
  void* attributes;
  unsigned attribute_count;
};

/** cudaGraphExecUpdateResultInfo */
struct GraphUpdateInfo {
  int result;
  void* error_node;
  void* error_from_node;
};

}  // namespace sightline::emulator
