#include <napi.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "addon/failure.h"
#include "addon/testing/testing.h"
#include "emulator/ptx/interpreter.h"

namespace sightline {
namespace {

using emulator::Checks;
using emulator::CopyTime;
using emulator::Dim3;
using emulator::Finding;
using emulator::GlobalMemory;
using emulator::Kernel;
using emulator::Launch;
using emulator::Program;
using emulator::Traffic;
using emulator::Violation;

uint32_t number_or(const Napi::Object& object, const char* name, uint32_t otherwise) {
  return object.Has(name) ? object.Get(name).As<Napi::Number>().Uint32Value() : otherwise;
}

bool flag_or(const Napi::Object& object, const char* name, bool otherwise) {
  return object.Has(name) ? object.Get(name).As<Napi::Boolean>().Value() : otherwise;
}

Dim3 dimensions(const Napi::Value& value) {
  const auto sizes = value.As<Napi::Array>();
  const auto size = [&](uint32_t axis) { return axis < sizes.Length() ? sizes.Get(axis).As<Napi::Number>().Uint32Value() : 1; };
  return {size(0), size(1), size(2)};
}

Checks read_checks(const Napi::Object& options) {
  Checks checks;
  checks.seed = number_or(options, "seed", 1);
  checks.random_interleaving = flag_or(options, "randomInterleaving", checks.random_interleaving);
  checks.races = flag_or(options, "races", checks.races);
  checks.initialisation = flag_or(options, "initialisation", checks.initialisation);
  checks.count_traffic = flag_or(options, "countTraffic", checks.count_traffic);
  checks.instructions_per_block = number_or(options, "instructionsPerBlock", static_cast<uint32_t>(checks.instructions_per_block));
  if (options.Has("asyncCopies")) {
    const std::string time = options.Get("asyncCopies").As<Napi::String>();
    require(time == "late" || time == "early" || time == "random", "asyncCopies: expected \"late\", \"early\" or \"random\", received \"", time, "\"");
    checks.async_copies = time == "late" ? CopyTime::late : time == "early" ? CopyTime::early : CopyTime::random;
  }
  return checks;
}

/** The kernel's arguments: their values, and device memory, aligned as cudaMalloc does, for the buffers among them. */
class Arguments {
 public:
  Arguments(const Kernel& kernel, const Napi::Array& list, GlobalMemory& memory) {
    require(list.Length() == kernel.parameters.size(), "arguments: ", kernel.name, " takes ", kernel.parameters.size(), ", received ", list.Length());
    for (uint32_t k = 0; k < list.Length(); ++k) {
      read(list.Get(k).As<Napi::Object>(), memory);
      require(bytes_ == kernel.parameters[k].bytes, "arguments[", k, "]: expected ", kernel.parameters[k].bytes, " bytes, received ", bytes_);
    }
    for (const std::vector<uint8_t>& value : values_) pointers_.push_back(value.data());
  }
  const void* const* pointers() const { return pointers_.data(); }

  /** Copies the device memory back to the buffers. */
  void copy_back() const {
    for (const Buffer& buffer : buffers_) std::memcpy(buffer.host, buffer.device.get(), buffer.bytes);
  }

 private:
  void read(const Napi::Object& argument, GlobalMemory& memory) {
    values_.emplace_back();
    const auto store = [&](auto value) {
      values_.back().resize(bytes_ = sizeof value);
      std::memcpy(values_.back().data(), &value, sizeof value);
    };
    if (argument.Has("bytes")) {
      const auto array = argument.Get("bytes").As<Napi::Uint8Array>();
      bytes_ = array.ByteLength();
      values_.back().assign(array.Data(), array.Data() + bytes_);
      return;
    }
    if (argument.Has("buffer")) {
      const auto array = argument.Get("buffer").As<Napi::TypedArray>();
      Buffer buffer{static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset(), nullptr, array.ByteLength()};
      constexpr size_t alignment = 256;
      buffer.device.reset(static_cast<uint8_t*>(std::aligned_alloc(alignment, (buffer.bytes + alignment - 1) / alignment * alignment)));
      if (!buffer.device) throw std::bad_alloc();
      std::memcpy(buffer.device.get(), buffer.host, buffer.bytes);
      memory.add(buffer.device.get(), buffer.bytes);
      if (flag_or(argument, "initialised", true)) memory.mark_initialised(buffer.device.get(), buffer.bytes);
      buffers_.push_back(std::move(buffer));
      return store(buffers_.back().device.get());
    }
    if (argument.Has("u32")) return store(argument.Get("u32").As<Napi::Number>().Uint32Value());
    if (argument.Has("s32")) return store(argument.Get("s32").As<Napi::Number>().Int32Value());
    if (argument.Has("f32")) return store(argument.Get("f32").As<Napi::Number>().FloatValue());
    if (argument.Has("f64")) return store(argument.Get("f64").As<Napi::Number>().DoubleValue());
    require(argument.Has("u64"), "arguments: expected buffer, bytes, u32, s32, f32, f64 or u64");
    bool lossless = false;
    store(argument.Get("u64").As<Napi::BigInt>().Uint64Value(&lossless));
  }

  struct Free {
    void operator()(uint8_t* data) const { std::free(data); }
  };
  struct Buffer {
    uint8_t* host;
    std::unique_ptr<uint8_t[], Free> device;
    size_t bytes;
  };

  std::vector<std::vector<uint8_t>> values_;
  std::vector<Buffer> buffers_;
  std::vector<const void*> pointers_;
  size_t bytes_ = 0;
};

Napi::Object describe(Napi::Env env, const Traffic& traffic) {
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, uint64_t value) { object.Set(name, static_cast<double>(value)); };
  set("warpInstructions", traffic.warp_instructions);
  set("mma", traffic.mma);
  set("globalRequests", traffic.global_requests);
  set("globalSectors", traffic.global_sectors);
  set("globalIdealSectors", traffic.global_ideal_sectors);
  set("globalBytesRead", traffic.global_bytes_read);
  set("globalBytesWritten", traffic.global_bytes_written);
  set("sharedWavefronts", traffic.shared_wavefronts);
  set("sharedIdealWavefronts", traffic.shared_ideal_wavefronts);
  set("asyncCopies", traffic.async_copies);
  set("barriers", traffic.barriers);
  return object;
}

Napi::Object describe(Napi::Env env, const Finding& finding) {
  Napi::Object object = Napi::Object::New(env);
  Napi::Array block = Napi::Array::New(env, 3);
  for (uint32_t axis = 0; axis < 3; ++axis) block.Set(axis, finding.block[axis]);
  object.Set("kind", emulator::finding_kind_name(finding.kind));
  object.Set("kernel", finding.kernel);
  object.Set("file", finding.file);
  object.Set("line", finding.line);
  object.Set("ptxLine", finding.ptx_line);
  object.Set("block", block);
  object.Set("warp", finding.warp);
  object.Set("lane", finding.lane);
  object.Set("message", finding.message);
  return object;
}

/** parsePtx(ptx: string): { name, parameterBytes: number[], staticSharedBytes, sharedGranularity }[], one per kernel */
Napi::Value parse(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const Program program = Program::parse(info[0].As<Napi::String>().Utf8Value());
    Napi::Array list = Napi::Array::New(info.Env());
    for (const auto& kernel : program.kernels()) {
      Napi::Object object = Napi::Object::New(info.Env());
      Napi::Array parameters = Napi::Array::New(info.Env());
      for (const auto& parameter : kernel->parameters) parameters.Set(parameters.Length(), parameter.bytes);
      object.Set("name", kernel->name);
      object.Set("parameterBytes", parameters);
      object.Set("staticSharedBytes", kernel->static_shared_bytes);
      object.Set("sharedGranularity", kernel->shared_granularity);
      list.Set(list.Length(), object);
    }
    return list;
  });
}

/**
 * runPtx(ptx: string, kernel: string, launch: { grid, block: number[], sharedBytes?: number }, arguments: object[],
 *   checks: object, threads: number): { traffic } or { violation: string, findings }
 */
Napi::Value run(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&] {
    const Program program = Program::parse(info[0].As<Napi::String>().Utf8Value());
    const std::string name = info[1].As<Napi::String>();
    const Kernel* kernel = program.find(name);
    require(kernel, "kernel: the program has no \"", name, "\"");
    const auto sizes = info[2].As<Napi::Object>();
    GlobalMemory memory;
    const Arguments arguments(*kernel, info[3].As<Napi::Array>(), memory);
    const Launch launch{dimensions(sizes.Get("grid")), dimensions(sizes.Get("block")), number_or(sizes, "sharedBytes", 0), arguments.pointers()};
    Napi::Object result = Napi::Object::New(env);
    try {
      const int threads = info[5].As<Napi::Number>();
      result.Set("traffic", describe(env, execute(*kernel, launch, memory, read_checks(info[4].As<Napi::Object>()), threads)));
    } catch (const Violation& violation) {
      Napi::Array findings = Napi::Array::New(env);
      for (const Finding& finding : violation.findings()) findings.Set(findings.Length(), describe(env, finding));
      result.Set("violation", violation.what());
      result.Set("findings", findings);
    }
    arguments.copy_back();
    return result;
  });
}

}  // namespace

void register_ptx(Napi::Env env, Napi::Object exports) {
  exports.Set("parsePtx", Napi::Function::New(env, parse));
  exports.Set("runPtx", Napi::Function::New(env, run));
}

}  // namespace sightline
