// Holds the emulator's own declarations against the headers of the toolkit at hand. Compiled wherever there is a toolkit.
#include <cuda_runtime_api.h>

#include <cstddef>

#include "emulator/runtime/api_types.h"

namespace sightline::emulator {

static_assert(cudaSuccess == 0 && cudaErrorInvalidValue == 1);
#define SIGHTLINE_SAME(ours, theirs) static_assert(static_cast<int>(ours) == static_cast<int>(theirs))
SIGHTLINE_SAME(CudaError::memory_allocation, cudaErrorMemoryAllocation);
SIGHTLINE_SAME(CudaError::invalid_configuration, cudaErrorInvalidConfiguration);
SIGHTLINE_SAME(CudaError::invalid_symbol, cudaErrorInvalidSymbol);
SIGHTLINE_SAME(CudaError::missing_configuration, cudaErrorMissingConfiguration);
SIGHTLINE_SAME(CudaError::invalid_device_function, cudaErrorInvalidDeviceFunction);
SIGHTLINE_SAME(CudaError::no_device, cudaErrorNoDevice);
SIGHTLINE_SAME(CudaError::invalid_device, cudaErrorInvalidDevice);
SIGHTLINE_SAME(CudaError::no_kernel_image, cudaErrorNoKernelImageForDevice);
SIGHTLINE_SAME(CudaError::invalid_ptx, cudaErrorInvalidPtx);
SIGHTLINE_SAME(CudaError::invalid_handle, cudaErrorInvalidResourceHandle);
SIGHTLINE_SAME(CudaError::not_ready, cudaErrorNotReady);
SIGHTLINE_SAME(CudaError::illegal_address, cudaErrorIllegalAddress);
SIGHTLINE_SAME(CudaError::launch_out_of_resources, cudaErrorLaunchOutOfResources);
SIGHTLINE_SAME(CudaError::launch_timeout, cudaErrorLaunchTimeout);
SIGHTLINE_SAME(CudaError::misaligned_address, cudaErrorMisalignedAddress);
SIGHTLINE_SAME(CudaError::launch_failure, cudaErrorLaunchFailure);
SIGHTLINE_SAME(CudaError::not_supported, cudaErrorNotSupported);
SIGHTLINE_SAME(CudaError::capture_unsupported, cudaErrorStreamCaptureUnsupported);
SIGHTLINE_SAME(CudaError::capture_invalidated, cudaErrorStreamCaptureInvalidated);
SIGHTLINE_SAME(CudaError::capture_merge, cudaErrorStreamCaptureMerge);
SIGHTLINE_SAME(CudaError::capture_unmatched, cudaErrorStreamCaptureUnmatched);
SIGHTLINE_SAME(CudaError::capture_unjoined, cudaErrorStreamCaptureUnjoined);
SIGHTLINE_SAME(CudaError::capture_isolation, cudaErrorStreamCaptureIsolation);
SIGHTLINE_SAME(CudaError::capture_implicit, cudaErrorStreamCaptureImplicit);
SIGHTLINE_SAME(CudaError::captured_event, cudaErrorCapturedEvent);
SIGHTLINE_SAME(CudaError::capture_wrong_thread, cudaErrorStreamCaptureWrongThread);
SIGHTLINE_SAME(CudaError::graph_update_failure, cudaErrorGraphExecUpdateFailure);
SIGHTLINE_SAME(CudaError::unknown, cudaErrorUnknown);
SIGHTLINE_SAME(CopyKind::host_to_device, cudaMemcpyHostToDevice);
SIGHTLINE_SAME(CopyKind::device_to_host, cudaMemcpyDeviceToHost);
SIGHTLINE_SAME(CopyKind::device_to_device, cudaMemcpyDeviceToDevice);
SIGHTLINE_SAME(CopyKind::infer, cudaMemcpyDefault);
SIGHTLINE_SAME(CaptureMode::global, cudaStreamCaptureModeGlobal);
SIGHTLINE_SAME(CaptureMode::thread_local_only, cudaStreamCaptureModeThreadLocal);
SIGHTLINE_SAME(CaptureMode::relaxed, cudaStreamCaptureModeRelaxed);
SIGHTLINE_SAME(FunctionAttribute::max_dynamic_shared_bytes, cudaFuncAttributeMaxDynamicSharedMemorySize);
SIGHTLINE_SAME(FunctionAttribute::preferred_shared_carveout, cudaFuncAttributePreferredSharedMemoryCarveout);
SIGHTLINE_SAME(stream_non_blocking, cudaStreamNonBlocking);
SIGHTLINE_SAME(event_blocking_sync, cudaEventBlockingSync);
SIGHTLINE_SAME(event_disable_timing, cudaEventDisableTiming);
SIGHTLINE_SAME(1, cudaDevAttrMaxThreadsPerBlock);
SIGHTLINE_SAME(10, cudaDevAttrWarpSize);
SIGHTLINE_SAME(16, cudaDevAttrMultiProcessorCount);
SIGHTLINE_SAME(38, cudaDevAttrL2CacheSize);
SIGHTLINE_SAME(39, cudaDevAttrMaxThreadsPerMultiProcessor);
SIGHTLINE_SAME(75, cudaDevAttrComputeCapabilityMajor);
SIGHTLINE_SAME(76, cudaDevAttrComputeCapabilityMinor);
SIGHTLINE_SAME(81, cudaDevAttrMaxSharedMemoryPerMultiprocessor);
SIGHTLINE_SAME(97, cudaDevAttrMaxSharedMemoryPerBlockOptin);
SIGHTLINE_SAME(106, cudaDevAttrMaxBlocksPerMultiprocessor);
SIGHTLINE_SAME(111, cudaDevAttrReservedSharedMemoryPerBlock);
SIGHTLINE_SAME(0, cudaGraphExecUpdateSuccess);
SIGHTLINE_SAME(2, cudaGraphExecUpdateErrorTopologyChanged);
#undef SIGHTLINE_SAME

static_assert(sizeof(CudaDim3) == sizeof(dim3));
// The caller's struct may be longer than ours in a later toolkit, never shorter.
static_assert(sizeof(FunctionAttributes) <= sizeof(cudaFuncAttributes));
static_assert(offsetof(FunctionAttributes, max_dynamic_shared_bytes) ==
              offsetof(cudaFuncAttributes, maxDynamicSharedSizeBytes));
static_assert(offsetof(FunctionAttributes, registers) == offsetof(cudaFuncAttributes, numRegs));
static_assert(sizeof(LaunchConfiguration) == sizeof(cudaLaunchConfig_t));
static_assert(offsetof(LaunchConfiguration, stream) == offsetof(cudaLaunchConfig_t, stream));
static_assert(offsetof(LaunchConfiguration, attribute_count) == offsetof(cudaLaunchConfig_t, numAttrs));
static_assert(sizeof(GraphUpdateInfo) == sizeof(cudaGraphExecUpdateResultInfo));

}  // namespace sightline::emulator
