// The emulator's CUDA libraries, function by function, and what tests tell it and ask of it.
#include <dlfcn.h>

#include "addon/testing/c_function.h"
#include "addon/testing/testing.h"
#include "cuda/cublaslt_library.h"
#include "cuda/nccl_library.h"
#include "emulator/runtime/api.h"
#include "emulator/runtime/control.h"

namespace sightline {
namespace {

using namespace emulator;

template <size_t (*read)(char*, size_t)>
std::string text_of() {
  std::string text(read(nullptr, 0), '\0');
  read(text.data(), text.size() + 1);
  return text;
}

/** runtime: { cudaMalloc(pointer: BigUint64Array, bytes: number): number, ... }: an error code each */
Napi::Object runtime_functions(Napi::Env env) {
  Napi::Object functions = Napi::Object::New(env);
#define SIGHTLINE_FUNCTIONS(X)                                                                                                 \
  X(cudaGetLastError)                                                                                                          \
  X(cudaPeekAtLastError) X(cudaGetErrorName) X(cudaGetErrorString) X(cudaRuntimeGetVersion) X(cudaGetDeviceCount)              \
      X(cudaSetDevice) X(cudaGetDevice) X(cudaDeviceGetAttribute) X(cudaDeviceSynchronize) X(cudaMalloc) X(cudaFree)           \
          X(cudaMallocHost) X(cudaFreeHost) X(cudaMemGetInfo) X(cudaMemcpyAsync) X(cudaMemcpy) X(cudaMemsetAsync)              \
              X(cudaMemset) X(cudaStreamCreate) X(cudaStreamCreateWithFlags) X(cudaStreamDestroy) X(cudaStreamSynchronize)     \
                  X(cudaStreamQuery) X(cudaStreamWaitEvent) X(cudaEventCreate) X(cudaEventCreateWithFlags) X(cudaEventDestroy) \
                      X(cudaEventRecord) X(cudaEventSynchronize) X(cudaEventQuery) X(cudaEventElapsedTime)                     \
                          X(cudaStreamBeginCapture) X(cudaStreamEndCapture) X(cudaStreamIsCapturing) X(cudaGraphGetNodes)      \
                              X(cudaGraphInstantiate) X(cudaGraphExecUpdate) X(cudaGraphLaunch) X(cudaGraphDestroy)            \
                                  X(cudaGraphExecDestroy) X(cudaFuncSetAttribute) X(cudaFuncGetAttributes)
#define SIGHTLINE_SET(name) functions.Set(#name, c_function(env, name));
  SIGHTLINE_FUNCTIONS(SIGHTLINE_SET)
#undef SIGHTLINE_SET
#undef SIGHTLINE_FUNCTIONS
  return functions;
}

/** cublasLt(): the functions of the library that SIGHTLINE_CUBLASLT names */
Napi::Value cublaslt_functions(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const cuda::cublaslt::Functions& library = cuda::cublaslt::functions();
    Napi::Object functions = Napi::Object::New(env);
    functions.Set("getVersion", c_function(env, library.get_version));
    functions.Set("create", c_function(env, library.create));
    functions.Set("destroy", c_function(env, library.destroy));
    functions.Set("matmulDescCreate", c_function(env, library.matmul_desc_create));
    functions.Set("matmulDescDestroy", c_function(env, library.matmul_desc_destroy));
    functions.Set("matmulDescSetAttribute", c_function(env, library.matmul_desc_set_attribute));
    functions.Set("matrixLayoutCreate", c_function(env, library.matrix_layout_create));
    functions.Set("matrixLayoutDestroy", c_function(env, library.matrix_layout_destroy));
    functions.Set("matrixLayoutSetAttribute", c_function(env, library.matrix_layout_set_attribute));
    functions.Set("matmulPreferenceCreate", c_function(env, library.matmul_preference_create));
    functions.Set("matmulPreferenceDestroy", c_function(env, library.matmul_preference_destroy));
    functions.Set("matmulPreferenceSetAttribute", c_function(env, library.matmul_preference_set_attribute));
    functions.Set("matmulAlgoGetHeuristic", c_function(env, library.matmul_algo_get_heuristic));
    functions.Set("matmul", c_function(env, library.matmul));
    return functions;
  });
}

/** nccl(): the functions of the library that SIGHTLINE_NCCL names */
Napi::Value nccl_functions(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const cuda::nccl::Functions& library = cuda::nccl::functions();
    Napi::Object functions = Napi::Object::New(env);
    functions.Set("getVersion", c_function(env, library.get_version));
    functions.Set("getUniqueId", c_function(env, library.get_unique_id));
    functions.Set("commInitRank", c_function(env, library.comm_init_rank));
    functions.Set("commDestroy", c_function(env, library.comm_destroy));
    functions.Set("commAbort", c_function(env, library.comm_abort));
    functions.Set("commGetAsyncError", c_function(env, library.comm_get_async_error));
    functions.Set("allReduce", c_function(env, library.all_reduce));
    functions.Set("reduceScatter", c_function(env, library.reduce_scatter));
    functions.Set("allGather", c_function(env, library.all_gather));
    functions.Set("broadcast", c_function(env, library.broadcast));
    functions.Set("groupStart", c_function(env, library.group_start));
    functions.Set("groupEnd", c_function(env, library.group_end));
    functions.Set("getLastError", c_function(env, library.get_last_error));
    return functions;
  });
}

/** configure(settings): every field of SightlineEmulatorSettings in camel case, defaults for those left out */
Napi::Value configure(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const auto object = info[0].As<Napi::Object>();
    SightlineEmulatorSettings settings;
    sightline_emulator_default_settings(&settings);
    const auto set = [&](const char* name, auto& field) {
      if (object.Has(name))
        field = static_cast<std::remove_reference_t<decltype(field)>>(object.Get(name).As<Napi::Number>().DoubleValue());
    };
    set("seed", settings.seed);
    set("memoryBudgetBytes", settings.memory_budget_bytes);
    set("lazy", settings.lazy);
    set("checks", settings.checks);
    set("randomInterleaving", settings.random_interleaving);
    set("asyncCopies", settings.async_copies);
    set("countTraffic", settings.count_traffic);
    set("interpreterThreads", settings.interpreter_threads);
    set("deviceCount", settings.device_count);
    set("graphs", settings.graphs);
    set("collectiveDeadlineMs", settings.collective_deadline_ms);
    sightline_emulator_configure(&settings);
    return info.Env().Undefined();
  });
}

/** violation(device: number): string */
Napi::Value violation(const Napi::CallbackInfo& info) {
  const int device = info[0].As<Napi::Number>();
  std::string text(sightline_emulator_violation(device, nullptr, 0), '\0');
  sightline_emulator_violation(device, text.data(), text.size() + 1);
  return Napi::String::New(info.Env(), text);
}

/** refusal(): string */
Napi::Value refusal(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), text_of<sightline_emulator_refusal>());
}

/** memory(device: number): { currentBytes, peakBytes, allocations, pinnedAllocations: number } */
Napi::Value memory(const Napi::CallbackInfo& info) {
  SightlineEmulatorMemory state;
  sightline_emulator_memory(info[0].As<Napi::Number>(), &state);
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("currentBytes", static_cast<double>(state.current_bytes));
  object.Set("peakBytes", static_cast<double>(state.peak_bytes));
  object.Set("allocations", static_cast<double>(state.allocations));
  object.Set("pinnedAllocations", static_cast<double>(state.pinned_allocations));
  return object;
}

/** calls(device: number): { kernelLaunches, products, copies, fills, waits, graphs, graphLaunches: number } */
Napi::Value calls(const Napi::CallbackInfo& info) {
  SightlineEmulatorCalls counted;
  sightline_emulator_calls(info[0].As<Napi::Number>(), &counted);
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("kernelLaunches", static_cast<double>(counted.kernel_launches));
  object.Set("products", static_cast<double>(counted.products));
  object.Set("copies", static_cast<double>(counted.copies));
  object.Set("fills", static_cast<double>(counted.fills));
  object.Set("waits", static_cast<double>(counted.waits));
  object.Set("graphs", static_cast<double>(counted.graphs));
  object.Set("graphLaunches", static_cast<double>(counted.graph_launches));
  return object;
}

/** traffic(): Record<kernel, { launches, warpInstructions, ... : number }> */
Napi::Value traffic(const Napi::CallbackInfo& info) {
  Napi::Object kernels = Napi::Object::New(info.Env());
  const char* name = nullptr;
  SightlineEmulatorTraffic counted;
  for (size_t index = 0; sightline_emulator_traffic(index, &name, &counted) == 1; ++index) {
    Napi::Object counters = Napi::Object::New(info.Env());
    const auto set = [&](const char* key, uint64_t value) { counters.Set(key, static_cast<double>(value)); };
    set("launches", counted.launches);
    set("warpInstructions", counted.warp_instructions);
    set("mma", counted.mma);
    set("globalRequests", counted.global_requests);
    set("globalSectors", counted.global_sectors);
    set("globalIdealSectors", counted.global_ideal_sectors);
    set("globalBytesRead", counted.global_bytes_read);
    set("globalBytesWritten", counted.global_bytes_written);
    set("sharedWavefronts", counted.shared_wavefronts);
    set("sharedIdealWavefronts", counted.shared_ideal_wavefronts);
    set("asyncCopies", counted.async_copies);
    set("barriers", counted.barriers);
    kernels.Set(name, counters);
  }
  return kernels;
}

/** launch(kernel: bigint, grid, block: Uint32Array of 3, arguments: TypedArray[], sharedBytes: number, stream: bigint): number
 */
Napi::Value launch(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const auto list = info[3].As<Napi::Array>();
    std::vector<void*> arguments;
    for (uint32_t index = 0; index < list.Length(); ++index) arguments.push_back(c_argument<void*>(list.Get(index)));
    const CudaError error =
        cudaLaunchKernel(c_argument<const void*>(info[0]), c_argument<CudaDim3>(info[1]), c_argument<CudaDim3>(info[2]),
                         arguments.data(), c_argument<size_t>(info[4]), c_argument<Stream*>(info[5]));
    return Napi::Number::New(info.Env(), static_cast<int>(error));
  });
}

/** copyBytes(to, from: bigint | TypedArray, bytes: number): void; between host addresses */
Napi::Value copy_bytes(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    std::memcpy(c_argument<void*>(info[0]), c_argument<const void*>(info[1]), c_argument<size_t>(info[2]));
    return info.Env().Undefined();
  });
}

/** kernel(name: string): bigint, what launch() takes, of the libraries opened so far */
Napi::Value kernel(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const std::string name = info[0].As<Napi::String>();
    const void* found = sightline_emulator_kernel(name.c_str());
    require(found != nullptr, "name: expected a kernel of a library that is open, received \"", name, "\"");
    return c_result(info.Env(), found);
  });
}

/** openKernels(file: string): { launchWithChevrons, deviceName, ... }, and kernel() finds its kernels */
Napi::Value open_kernels(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    void* library = dlopen(info[0].As<Napi::String>().Utf8Value().c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) fail(ErrorCode::io, dlerror());
    const auto find = [library](const char* name) {
      void* address = dlsym(library, name);
      require(address != nullptr, "file: expected the test kernels, with ", name);
      return address;
    };
    Napi::Object kernels = Napi::Object::New(env);
    using Launch = int(float*, int, Stream*);
    using DeviceName = int(char*, int);
    kernels.Set("deviceName", c_function(env, reinterpret_cast<DeviceName*>(find("device_name"))));
    using SetFactors = int(const float*);
    using Blocks = int(int, int);
    kernels.Set("launchWithChevrons", c_function(env, reinterpret_cast<Launch*>(find("launch_with_chevrons"))));
    kernels.Set("setFactors", c_function(env, reinterpret_cast<SetFactors*>(find("set_factors"))));
    kernels.Set("blocksPerMultiprocessor", c_function(env, reinterpret_cast<Blocks*>(find("blocks_per_multiprocessor"))));
    return kernels;
  });
}

}  // namespace

void register_emulator(Napi::Env env, Napi::Object exports) {
  Napi::Object emulator = Napi::Object::New(env);
  emulator.Set("runtime", runtime_functions(env));
  emulator.Set("cublasLt", Napi::Function::New(env, cublaslt_functions));
  emulator.Set("nccl", Napi::Function::New(env, nccl_functions));
  emulator.Set("configure", Napi::Function::New(env, configure));
  emulator.Set("violation", Napi::Function::New(env, violation));
  emulator.Set("refusal", Napi::Function::New(env, refusal));
  emulator.Set("memory", Napi::Function::New(env, memory));
  emulator.Set("calls", Napi::Function::New(env, calls));
  emulator.Set("traffic", Napi::Function::New(env, traffic));
  emulator.Set("launch", Napi::Function::New(env, launch));
  emulator.Set("copyBytes", Napi::Function::New(env, copy_bytes));
  emulator.Set("kernel", Napi::Function::New(env, kernel));
  emulator.Set("openKernels", Napi::Function::New(env, open_kernels));
  exports.Set("emulator", emulator);
}

}  // namespace sightline
