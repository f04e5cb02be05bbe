#pragma once

#include "emulator/runtime/api_types.h"

/**
 * The functions of the CUDA runtime that the emulator has, as CUDA's documentation describes them (CUDA Runtime API, 13.0).
 * What differs: a device pointer is a host pointer; streams, events and memory belong to the calling thread's current device;
 * kernels reach device memory only, not pinned host memory.
 */
namespace sightline::emulator {

// errors and versions
SIGHTLINE_EMULATOR_API CudaError cudaGetLastError();
SIGHTLINE_EMULATOR_API CudaError cudaPeekAtLastError();
SIGHTLINE_EMULATOR_API const char* cudaGetErrorName(CudaError error);
SIGHTLINE_EMULATOR_API const char* cudaGetErrorString(CudaError error);
SIGHTLINE_EMULATOR_API CudaError cudaRuntimeGetVersion(int* version);
SIGHTLINE_EMULATOR_API CudaError cudaDriverGetVersion(int* version);

// devices
SIGHTLINE_EMULATOR_API CudaError cudaGetDeviceCount(int* count);
SIGHTLINE_EMULATOR_API CudaError cudaSetDevice(int device);
SIGHTLINE_EMULATOR_API CudaError cudaGetDevice(int* device);
SIGHTLINE_EMULATOR_API CudaError cudaDeviceGetAttribute(int* value, int attribute, int device);
SIGHTLINE_EMULATOR_API CudaError cudaDeviceSynchronize();
SIGHTLINE_EMULATOR_API CudaError cudaDeviceGetStreamPriorityRange(int* least, int* greatest);

// memory
SIGHTLINE_EMULATOR_API CudaError cudaMalloc(void** pointer, size_t bytes);
SIGHTLINE_EMULATOR_API CudaError cudaFree(void* pointer);
SIGHTLINE_EMULATOR_API CudaError cudaHostAlloc(void** pointer, size_t bytes, unsigned);
SIGHTLINE_EMULATOR_API CudaError cudaMallocHost(void** pointer, size_t bytes);
SIGHTLINE_EMULATOR_API CudaError cudaFreeHost(void* pointer);
SIGHTLINE_EMULATOR_API CudaError cudaMemGetInfo(size_t* free, size_t* total);
SIGHTLINE_EMULATOR_API CudaError cudaMemcpyAsync(void* to, const void* from, size_t bytes, CopyKind kind, Stream* stream);
SIGHTLINE_EMULATOR_API CudaError cudaMemcpy(void* to, const void* from, size_t bytes, CopyKind kind);
SIGHTLINE_EMULATOR_API CudaError cudaMemsetAsync(void* pointer, int value, size_t bytes, Stream* stream);
SIGHTLINE_EMULATOR_API CudaError cudaMemset(void* pointer, int value, size_t bytes);
SIGHTLINE_EMULATOR_API CudaError cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset,
                                                         CopyKind kind, Stream* stream);
SIGHTLINE_EMULATOR_API CudaError cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset,
                                                    CopyKind kind);

// streams and events
SIGHTLINE_EMULATOR_API CudaError cudaStreamCreateWithPriority(Stream** stream, unsigned flags, int);
SIGHTLINE_EMULATOR_API CudaError cudaStreamCreateWithFlags(Stream** stream, unsigned flags);
SIGHTLINE_EMULATOR_API CudaError cudaStreamCreate(Stream** stream);
SIGHTLINE_EMULATOR_API CudaError cudaStreamDestroy(Stream* stream);
SIGHTLINE_EMULATOR_API CudaError cudaStreamSynchronize(Stream* stream);
SIGHTLINE_EMULATOR_API CudaError cudaStreamQuery(Stream* stream);
SIGHTLINE_EMULATOR_API CudaError cudaStreamWaitEvent(Stream* stream, Event* event, unsigned);
SIGHTLINE_EMULATOR_API CudaError cudaEventCreateWithFlags(Event** event, unsigned flags);
SIGHTLINE_EMULATOR_API CudaError cudaEventCreate(Event** event);
SIGHTLINE_EMULATOR_API CudaError cudaEventDestroy(Event* event);
SIGHTLINE_EMULATOR_API CudaError cudaEventRecord(Event* event, Stream* stream);
SIGHTLINE_EMULATOR_API CudaError cudaEventSynchronize(Event* event);
SIGHTLINE_EMULATOR_API CudaError cudaEventQuery(Event* event);
SIGHTLINE_EMULATOR_API CudaError cudaEventElapsedTime(float* milliseconds, Event* start, Event* end);

// capture and graphs
SIGHTLINE_EMULATOR_API CudaError cudaStreamBeginCapture(Stream* stream, CaptureMode mode);
SIGHTLINE_EMULATOR_API CudaError cudaStreamEndCapture(Stream* stream, Graph** graph);
SIGHTLINE_EMULATOR_API CudaError cudaStreamIsCapturing(Stream* stream, int* status);
SIGHTLINE_EMULATOR_API CudaError cudaGraphGetNodes(Graph* graph, void** nodes, size_t* count);
SIGHTLINE_EMULATOR_API CudaError cudaGraphInstantiate(GraphExecutable** executable, Graph* graph, unsigned long long);
SIGHTLINE_EMULATOR_API CudaError cudaGraphExecUpdate(GraphExecutable* executable, Graph* graph, GraphUpdateInfo* info);
SIGHTLINE_EMULATOR_API CudaError cudaGraphLaunch(GraphExecutable* executable, Stream* stream);
SIGHTLINE_EMULATOR_API CudaError cudaGraphDestroy(Graph* graph);
SIGHTLINE_EMULATOR_API CudaError cudaGraphExecDestroy(GraphExecutable* executable);

// kernels
SIGHTLINE_EMULATOR_API CudaError cudaLaunchKernel(const void* function, CudaDim3 grid, CudaDim3 block, void** arguments,
                                                  size_t dynamic_shared_bytes, Stream* stream);
SIGHTLINE_EMULATOR_API CudaError cudaLaunchKernelExC(const LaunchConfiguration* configuration, const void* function,
                                                     void** arguments);
SIGHTLINE_EMULATOR_API CudaError cudaFuncSetAttribute(const void* function, FunctionAttribute attribute, int value);
SIGHTLINE_EMULATOR_API CudaError cudaFuncGetAttributes(FunctionAttributes* attributes, const void* function);
SIGHTLINE_EMULATOR_API CudaError cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function,
                                                                                        int threads,
                                                                                        size_t dynamic_shared_bytes, unsigned);
SIGHTLINE_EMULATOR_API CudaError cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                                               size_t dynamic_shared_bytes);

}  // namespace sightline::emulator
