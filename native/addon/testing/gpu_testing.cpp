// Ops on a GPU, or on the emulated one, whose arguments stay in its memory from call to call: what benchmarks time.
#include <memory>
#include <optional>

#include "addon/failure.h"
#include "addon/testing/device_arrays.h"
#include "addon/testing/emulated_ops.h"
#include "addon/testing/op_call.h"
#include "addon/testing/testing.h"
#include "engine/cuda_library.h"

namespace sightline {
namespace {

/** As `guard`; a failure says also what the emulator knows of it. */
template <class Body>
Napi::Value guard_on_gpu(Napi::Env env, const Body& body) {
  return guard(env, [&]() -> Napi::Value {
    try {
      return body();
    } catch (const Error& error) {
      throw Error(error.code(), error.what() + emulator_explanation());
    }
  });
}

struct Gpu {
  explicit Gpu(int index)
      : device(cuda_library().interface.create(index, Precision::fp32, 0)), bench(cuda_library().interface.create_bench(*device)) {}

  std::unique_ptr<Device> device;
  std::unique_ptr<cuda::GpuBench> bench;
};

/** One call of an op with its arguments on the GPU. */
class PreparedCall {
 public:
  /** @param name  of an op, or "cublaslt": `matmul` by cuBLASLt whatever its shape */
  PreparedCall(std::shared_ptr<Gpu> gpu, const std::string& name, Napi::Object args)
      : gpu_(std::move(gpu)), kept_(Napi::Persistent(args)), arrays_(*gpu_->device), arguments_(name, args, arrays_) {
    if (name == "cublaslt")
      call_ = [this, matmul = arguments_.read<MatmulArgs>()] { gpu_->bench->multiply(matmul); };
    else
      call_ = bind_op(name, arguments_, *gpu_->device);
  }

  void run() { call_(); }
  double time() { return gpu_->bench->time(call_); }
  void fetch() { arrays_.fetch(); }

 private:
  std::shared_ptr<Gpu> gpu_;
  /** What the op reads on the host, and what `fetch` writes to. */
  Napi::ObjectReference kept_;
  DeviceArrays arrays_;
  OpArguments arguments_;
  std::function<void()> call_;
};

/** { run(): void; time(): number; fetch(): void; release(): void }: see bench/gpu.ts */
Napi::Value prepared_object(Napi::Env env, std::shared_ptr<PreparedCall> call) {
  const auto held = std::make_shared<std::shared_ptr<PreparedCall>>(std::move(call));
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, auto body) {
    object.Set(name, Napi::Function::New(env, [held, body](const Napi::CallbackInfo& info) {
                 return guard_on_gpu(info.Env(), [&]() -> Napi::Value {
                   require(*held != nullptr, "the call has been released");
                   return body(info.Env(), *held);
                 });
               }));
  };
  set("run", [](Napi::Env e, auto& prepared) { return prepared->run(), e.Undefined(); });
  set("time", [](Napi::Env e, auto& prepared) { return Napi::Number::New(e, prepared->time()); });
  set("fetch", [](Napi::Env e, auto& prepared) { return prepared->fetch(), e.Undefined(); });
  set("release", [](Napi::Env e, auto& prepared) { return prepared.reset(), e.Undefined(); });
  return object;
}

Napi::Object facts_object(Napi::Env env, int index, const Gpu& gpu) {
  const cuda::Findings findings = cuda_library().interface.probe();
  const cuda::Gpu& found = findings.gpus[static_cast<size_t>(index)];
  const cuda::GpuFacts facts = gpu.bench->facts();
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", found.name);
  const auto set = [&](const char* name, int64_t value) { object.Set(name, static_cast<double>(value)); };
  set("computeCapability", found.compute_capability);
  set("multiprocessors", facts.multiprocessors);
  set("memoryBytes", found.memory_bytes);
  set("l2Bytes", facts.l2_bytes);
  set("clockKhz", facts.clock_khz);
  set("memoryClockKhz", facts.memory_clock_khz);
  set("driverVersion", findings.driver_version);
  set("runtimeVersion", findings.runtime_version);
  return object;
}

/**
 * openGpu(index: number): { facts, prepare(name, args), ceilings(bytes, rounds, repeats) }, of the library of the CUDA backend that
 * is found; see bench/gpu.ts
 */
Napi::Value open_gpu(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard_on_gpu(env, [&]() -> Napi::Value {
    const int index = info[0].As<Napi::Number>();
    const auto gpu = std::make_shared<Gpu>(index);
    Napi::Object object = Napi::Object::New(env);
    object.Set("facts", facts_object(env, index, *gpu));
    object.Set("prepare", Napi::Function::New(env, [gpu](const Napi::CallbackInfo& call) {
                 return guard_on_gpu(call.Env(), [&] {
                   return prepared_object(call.Env(), std::make_shared<PreparedCall>(gpu, call[0].As<Napi::String>().Utf8Value(),
                                                                                     call[1].As<Napi::Object>()));
                 });
               }));
    object.Set("ceilings", Napi::Function::New(env, [gpu](const Napi::CallbackInfo& call) {
                 return guard_on_gpu(call.Env(), [&]() -> Napi::Value {
                   const double bytes = call[0].As<Napi::Number>();
                   const cuda::Ceilings found =
                       gpu->bench->ceilings(static_cast<size_t>(bytes), call[1].As<Napi::Number>(), call[2].As<Napi::Number>());
                   Napi::Object ceilings = Napi::Object::New(call.Env());
                   ceilings.Set("readBytesPerSecond", found.read_bytes_per_second);
                   ceilings.Set("copyBytesPerSecond", found.copy_bytes_per_second);
                   ceilings.Set("fp32FlopsPerSecond", found.fp32_flops_per_second);
                   return ceilings;
                 });
               }));
    return object;
  });
}

}  // namespace

void register_gpu(Napi::Env env, Napi::Object exports) { exports.Set("openGpu", Napi::Function::New(env, open_gpu)); }

}  // namespace sightline
