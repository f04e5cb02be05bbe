#include <napi.h>

#include "addon/engine_arguments.h"
#include "addon/engine_object.h"
#include "addon/failure.h"
#include "addon/file_functions.h"
#include "addon/image_functions.h"
#include "addon/promise_worker.h"
#include "engine/cuda_library.h"
#include "engine/device_choice.h"
#include "ops/measure_peaks.h"

namespace sightline {
namespace {

/** What one JavaScript environment (the main thread's or a worker's) holds. */
struct EnvironmentData {
  Napi::FunctionReference engine_class;
};

/**
 * createEngine(options: EngineOptions): Promise<NativeEngine>
 *
 * Building an engine takes as long as its weights take to fill.
 */
Napi::Value create_engine(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    return compute_promise(
        info.Env(), "sightline:create",
        [options = to_engine_options({info[0], ""})]() mutable { return std::make_unique<Engine>(std::move(options)); },
        [](Napi::Env env, std::unique_ptr<Engine> engine) {
          return EngineObject::wrap(env, env.GetInstanceData<EnvironmentData>()->engine_class.Value(), std::move(engine));
        });
  });
}

/** measurePeaks(options: PeakOptions & { threads: number }): Promise<Peaks> */
Napi::Value measure_peaks(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Argument options(info[0], "");
    const int threads = static_cast<int>(options.field("threads").integer(1, max_threads));
    const Argument cpu = options.field("cpu");
    const Isa isa = select_isa(cpu.present() ? cpu.string() : std::string());
    return compute_promise(
        info.Env(), "sightline:peaks", [isa, threads] { return measure_peaks(isa, threads); },
        [isa, threads](Napi::Env env, const Peaks& peaks) {
          Napi::Object object = Napi::Object::New(env);
          object.Set("threads", threads);
          object.Set("cpu", isa_name(isa));
          object.Set("fp32GflopsPerSecond", peaks.fp32_gflops_per_second);
          object.Set("bf16GflopsPerSecond", peaks.bf16_gflops_per_second
                                                ? Napi::Value(Napi::Number::New(env, *peaks.bf16_gflops_per_second))
                                                : env.Null());
          object.Set("readGigabytesPerSecond", peaks.read_gigabytes_per_second);
          return object;
        });
  });
}

/** E.g. "12.8" for 12080, "8.0" for a compute capability of 80. */
Napi::String dotted(Napi::Env env, int major, int minor) { return Napi::String::New(env, concat(major, '.', minor)); }

/** probeCuda(): CudaFindings */
Napi::Value probe_cuda(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const CudaLibrary& library = cuda_library();
    const cuda::Findings findings = library.interface.probe();
    const auto version = [env](int number) { return dotted(env, number / 1000, number % 1000 / 10); };
    Napi::Array gpus = Napi::Array::New(env);
    for (const cuda::Gpu& gpu : findings.gpus) {
      Napi::Object object = Napi::Object::New(env);
      object.Set("name", gpu.name);
      object.Set("computeCapability", dotted(env, gpu.compute_capability / 10, gpu.compute_capability % 10));
      object.Set("memoryBytes", static_cast<double>(gpu.memory_bytes));
      gpus.Set(gpus.Length(), object);
    }
    Napi::Array problems = Napi::Array::New(env);
    for (const std::string& problem : findings.problems) problems.Set(problems.Length(), problem);
    Napi::Object object = Napi::Object::New(env);
    object.Set("file", library.file);
    object.Set("driverVersion", findings.driver_version == 0 ? env.Null() : Napi::Value(version(findings.driver_version)));
    object.Set("runtimeVersion", version(findings.runtime_version));
    object.Set("gpus", gpus);
    object.Set("problems", problems);
    return object;
  });
}

/** freeGpuMemory(device: string): number, in bytes */
Napi::Value free_gpu_memory(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const DeviceChoice choice = DeviceChoice::parse(info[0].As<Napi::String>());
    require(choice.gpu.has_value(), "device: expected a GPU, received \"cpu\"");
    return Napi::Number::New(info.Env(), static_cast<double>(cuda_library().interface.free_memory(*choice.gpu)));
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new EnvironmentData{Napi::Persistent(EngineObject::define(env))});
  exports.Set("createEngine", Napi::Function::New(env, create_engine));
  exports.Set("probeCuda", Napi::Function::New(env, probe_cuda));
  exports.Set("freeGpuMemory", Napi::Function::New(env, free_gpu_memory));
  exports.Set("measurePeaks", Napi::Function::New(env, measure_peaks));
  exports.Set("resizeImage", Napi::Function::New(env, resize_image));
  exports.Set("readTensorList", Napi::Function::New(env, read_tensor_list));
  exports.Set("copyTensors", Napi::Function::New(env, copy_tensors));
  return exports;
}

}  // namespace
}  // namespace sightline

static Napi::Object init_module(Napi::Env env, Napi::Object exports) { return sightline::init(env, exports); }
NODE_API_MODULE(sightline, init_module)
