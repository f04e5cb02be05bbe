#include <napi.h>

#include "addon/failure.h"
#include "addon/testing/testing.h"
#include "io/safetensors_reader.h"
#include "io/safetensors_writer.h"

namespace sightline {
namespace {

Napi::Value describe(Napi::Env env, const std::vector<TensorInfo>& tensors,
                     const std::map<std::string, std::string>& metadata) {
  Napi::Array list = Napi::Array::New(env, tensors.size());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    const TensorInfo& tensor = tensors[i];
    Napi::Array shape = Napi::Array::New(env, tensor.shape.size());
    for (uint32_t axis = 0; axis < tensor.shape.size(); ++axis) {
      shape.Set(axis, static_cast<double>(tensor.shape[axis]));
    }
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", tensor.name);
    entry.Set("dtype", dtype_name(tensor.dtype));
    entry.Set("shape", shape);
    list.Set(i, entry);
  }
  Napi::Object strings = Napi::Object::New(env);
  for (const auto& [key, value] : metadata) strings.Set(key, value);
  Napi::Object description = Napi::Object::New(env);
  description.Set("tensors", list);
  description.Set("metadata", strings);
  return description;
}

/** parseSafetensors(contents: Uint8Array): { tensors, metadata } */
Napi::Value parse(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const auto bytes = info[0].As<Napi::Uint8Array>();
    const std::string_view contents(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
    const SafetensorsHeader header = parse_safetensors_header("memory", contents);
    return describe(info.Env(), header.tensors, header.metadata);
  });
}

/** openSafetensors(path: string): { tensors, metadata } */
Napi::Value open(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const SafetensorsReader reader(info[0].As<Napi::String>());
    return describe(info.Env(), reader.tensors(), reader.metadata());
  });
}

/** readSafetensor(path: string, name: string, count: number): Float32Array */
Napi::Value read(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const SafetensorsReader reader(info[0].As<Napi::String>());
    const auto count = static_cast<size_t>(info[2].As<Napi::Number>().Int64Value());
    auto out = Napi::Float32Array::New(info.Env(), count);
    reader.read_floats(info[1].As<Napi::String>().Utf8Value(), out.Data(), count);
    return out;
  });
}

/** A string's UTF-8, or a Buffer's bytes as they are, for text that no JavaScript string can hold. */
std::string text_or_bytes(const Napi::Value& value) {
  if (!value.IsBuffer()) return value.As<Napi::String>();
  const auto bytes = value.As<Napi::Buffer<char>>();
  return {bytes.Data(), bytes.Length()};
}

/**
 * writeSafetensors(path: string, tensors: { name: string | Buffer, dtype?: "F32" | "BF16" | "F16", shape: number[], data: Float32Array }[],
 *                  metadata: Record<string, string>)
 */
Napi::Value write(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const auto list = info[1].As<Napi::Array>();
    std::vector<TensorToWrite> tensors;
    for (uint32_t i = 0; i < list.Length(); ++i) {
      const auto entry = list.Get(i).As<Napi::Object>();
      const auto sizes = entry.Get("shape").As<Napi::Array>();
      std::vector<int64_t> shape;
      for (uint32_t axis = 0; axis < sizes.Length(); ++axis) {
        shape.push_back(sizes.Get(axis).As<Napi::Number>().Int64Value());
      }
      const Napi::Value dtype = entry.Get("dtype");
      const std::string type = dtype.IsUndefined() ? "F32" : dtype.As<Napi::String>().Utf8Value();
      tensors.push_back({.name = text_or_bytes(entry.Get("name")),
                         .dtype = type == "BF16" ? Dtype::bf16 : type == "F16" ? Dtype::f16 : Dtype::f32,
                         .shape = std::move(shape),
                         .write = {}});
      tensors.back().write = write_floats(tensors.back().dtype, [data = entry.Get("data").As<Napi::Float32Array>()] {
        return std::vector<float>(data.Data(), data.Data() + data.ElementLength());
      });
    }
    const auto strings = info[2].As<Napi::Object>();
    const Napi::Array keys = strings.GetPropertyNames();
    std::map<std::string, std::string> metadata;
    for (uint32_t i = 0; i < keys.Length(); ++i) {
      metadata.emplace(keys.Get(i).As<Napi::String>(), strings.Get(keys.Get(i)).As<Napi::String>());
    }
    write_safetensors(info[0].As<Napi::String>(), tensors, metadata);
    return info.Env().Undefined();
  });
}

}  // namespace

void register_safetensors(Napi::Env env, Napi::Object exports) {
  exports.Set("parseSafetensors", Napi::Function::New(env, parse));
  exports.Set("openSafetensors", Napi::Function::New(env, open));
  exports.Set("readSafetensor", Napi::Function::New(env, read));
  exports.Set("writeSafetensors", Napi::Function::New(env, write));
}

}  // namespace sightline
