#include <chrono>
#include <map>

#include "addon/failure.h"
#include "addon/testing/emulated_ops.h"
#include "addon/testing/op_arguments.h"
#include "addon/testing/op_call.h"
#include "addon/testing/testing.h"
#include "core/isa.h"
#include "ops/cpu_device.h"

namespace sightline {
namespace {

/** The devices of one JavaScript environment. They outlive a call: ops meet what others left in scratch memory. */
using Devices = std::map<std::pair<Isa, int>, CpuDevice>;

Isa isa_named(const std::string& name) {
  for (Isa isa : available_isas())
    if (name == isa_name(isa)) return isa;
  fail(ErrorCode::invalid_argument, "isa: expected one of availableIsas() or cuda-emulated, received \"", name, "\"");
}

template <class Names>
Napi::Array string_array(Napi::Env env, const Names& names) {
  Napi::Array array = Napi::Array::New(env);
  for (const char* name : names) array.Set(array.Length(), name);
  return array;
}

/** Calls the op that the first four arguments describe, `calls` times. @returns seconds that the calls took in all */
double call_op(const Napi::CallbackInfo& info, int64_t calls) {
  const std::string backend = info[0].As<Napi::String>();
  const int threads = info[1].As<Napi::Number>();
  const std::string name = info[2].As<Napi::String>();
  const auto args = info[3].As<Napi::Object>();
  double seconds = 0;
  const auto run = [&](Device& device, ArrayPlaces& places) {
    OpArguments arguments(name, args, places);
    const std::function<void()> op = bind_op(name, arguments, device);
    const auto start = std::chrono::steady_clock::now();
    for (int64_t call = 0; call < calls; ++call) op();
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  if (backend == emulated_backend) {
    run_emulated(threads, run);
  } else {
    const Isa isa = isa_named(backend);
    Devices& devices = *info.Env().GetInstanceData<Devices>();
    CpuDevice& device = devices.try_emplace({isa, threads}, isa, threads, size_t{0}).first->second;
    ArrayPlaces places;
    run(device, places);
  }
  return seconds;
}

/** runOp(backend: string, threads: number, name: string, args: object): void */
Napi::Value run_op(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    call_op(info, 1);
    return info.Env().Undefined();
  });
}

/** timeOp(backend: string, threads: number, name: string, args: object, calls: number): mean seconds of one call, calls >= 1 */
Napi::Value time_op(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const int64_t calls = info[4].As<Napi::Number>();
    require(calls >= 1, "calls: expected an integer >= 1, received ", calls);
    return Napi::Number::New(info.Env(), call_op(info, calls) / static_cast<double>(calls));
  });
}

/** opWork(name: string, args: object): { flops, bf16Flops, bytes: number, shape: number[] } */
Napi::Value op_work(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const std::string name = info[0].As<Napi::String>();
    ArrayPlaces places;
    OpArguments arguments(name, info[1].As<Napi::Object>(), places);
    OpWork work;
#define SIGHTLINE_COUNT(op, Args) \
  if (name == #op) work = work_of(arguments.read<Args>());
    SIGHTLINE_OPS(SIGHTLINE_COUNT)
#undef SIGHTLINE_COUNT
    Napi::Array shape = Napi::Array::New(env);
    for (const int64_t size : work.shape)
      if (size != OpWork::no_dimension) shape.Set(shape.Length(), static_cast<double>(size));
    Napi::Object object = Napi::Object::New(env);
    object.Set("flops", static_cast<double>(work.flops));
    object.Set("bf16Flops", static_cast<double>(work.bf16_flops));
    object.Set("bytes", static_cast<double>(work.bytes));
    object.Set("shape", shape);
    return object;
  });
}

/** opNames(): string[] */
Napi::Value op_names(const Napi::CallbackInfo& info) {
#define SIGHTLINE_NAME(op, Args) #op,
  return string_array(info.Env(), std::initializer_list<const char*>{SIGHTLINE_OPS(SIGHTLINE_NAME)});
#undef SIGHTLINE_NAME
}

/** availableIsas(): string[] */
Napi::Value isa_names(const Napi::CallbackInfo& info) {
  std::vector<const char*> names;
  for (Isa isa : available_isas()) names.push_back(isa_name(isa));
  return string_array(info.Env(), names);
}

/** packedSize(backend: string, precision: "fp32" | "bf16", k: number, n: number): number of words that pack_matrix writes */
Napi::Value packed_size(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const std::string precision = info[1].As<Napi::String>();
    const int64_t k = info[2].As<Napi::Number>(), n = info[3].As<Napi::Number>();
    const std::string backend = info[0].As<Napi::String>();
    const Precision type = precision == "bf16" ? Precision::bf16 : Precision::fp32;
    const int64_t size = backend == emulated_backend ? (k * n + elements_per_word(type) - 1) / elements_per_word(type)
                                                     : matmul_packed_size(isa_named(backend), type, k, n);
    return Napi::Number::New(info.Env(), static_cast<double>(size));
  });
}

/** pageLayerSize(kvHeads: number, headSize: number): elements of one layer in a page of the KV cache */
Napi::Value page_layer_size_of(const Napi::CallbackInfo& info) {
  const int64_t kv_heads = info[0].As<Napi::Number>(), head_size = info[1].As<Napi::Number>();
  return Napi::Number::New(info.Env(), static_cast<double>(page_layer_size(kv_heads, head_size)));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Devices);
  exports.Set("runOp", Napi::Function::New(env, run_op));
  exports.Set("timeOp", Napi::Function::New(env, time_op));
  exports.Set("opWork", Napi::Function::New(env, op_work));
  exports.Set("opNames", Napi::Function::New(env, op_names));
  exports.Set("availableIsas", Napi::Function::New(env, isa_names));
  exports.Set("packedSize", Napi::Function::New(env, packed_size));
  exports.Set("pageLayerSize", Napi::Function::New(env, page_layer_size_of));
  register_safetensors(env, exports);
  register_fuzzing(env, exports);
  register_emulator(env, exports);
  register_ptx(env, exports);
  register_gpu(env, exports);
  return exports;
}

}  // namespace
}  // namespace sightline

static Napi::Object init_module(Napi::Env env, Napi::Object exports) { return sightline::init(env, exports); }
NODE_API_MODULE(sightline_testing, init_module)
