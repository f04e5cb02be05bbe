#include "addon/file_functions.h"

#include <variant>

#include "addon/checkpoint_arguments.h"
#include "addon/promise_worker.h"
#include "core/thread_pool.h"
#include "engine/tensor_copy.h"
#include "io/safetensors_reader.h"

namespace sightline {
namespace {

struct TensorList {
  std::vector<TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
};

Napi::Value to_js(Napi::Env env, const TensorList& list) {
  Napi::Array tensors = Napi::Array::New(env, list.tensors.size());
  for (uint32_t i = 0; i < list.tensors.size(); ++i) {
    const TensorInfo& tensor = list.tensors[i];
    Napi::Array shape = Napi::Array::New(env, tensor.shape.size());
    for (uint32_t axis = 0; axis < tensor.shape.size(); ++axis) shape.Set(axis, static_cast<double>(tensor.shape[axis]));
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", tensor.name);
    entry.Set("dtype", dtype_name(tensor.dtype));
    entry.Set("shape", shape);
    entry.Set("bytes", static_cast<double>(tensor.end - tensor.begin));
    tensors.Set(i, entry);
  }
  // A list of pairs: keys are whatever the file says, which not every object could hold.
  Napi::Array metadata = Napi::Array::New(env);
  for (const auto& [key, value] : list.metadata) {
    Napi::Array pair = Napi::Array::New(env, 2);
    pair.Set(0u, key);
    pair.Set(1u, value);
    metadata.Set(metadata.Length(), pair);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("tensors", tensors);
  result.Set("metadata", metadata);
  return result;
}

TensorSource to_source(const Argument& source) {
  return {.file = source.field("file").file_path(), .name = source.field("name").string()};
}

CopiedTensor to_copied_tensor(const Argument& tensor) {
  CopiedTensor copied{.name = tensor.field("name").string(), .source = to_source(tensor.field("source")), .type = {}, .update = {}};
  if (const Argument type = tensor.field("type"); type.present()) copied.type = to_stored_type(type);
  if (const Argument update = tensor.field("update"); update.present()) {
    copied.update = LowRankUpdate{
        .a = to_source(update.field("a")), .b = to_source(update.field("b")), .scale = update.field("scale").number()};
  }
  return copied;
}

}  // namespace

Napi::Value read_tensor_list(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    return compute_promise(
        info.Env(), "sightline:tensor-list",
        [file = Argument(info[0], "file").file_path()] {
          const SafetensorsReader reader(file);
          return TensorList{reader.tensors(), reader.metadata()};
        },
        [](Napi::Env env, const TensorList& list) { return to_js(env, list); });
  });
}

Napi::Value copy_tensors(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Argument copy(info[0], "");
    std::vector<CopiedTensor> tensors;
    for (const Argument& tensor : copy.field("tensors").elements()) tensors.push_back(to_copied_tensor(tensor));
    std::map<std::string, std::string> metadata;
    for (const Argument& pair : copy.field("metadata").elements()) {
      const std::vector<Argument> strings = pair.elements();
      require(strings.size() == 2, pair.path(), ": expected a key and a value, received ", strings.size(), " elements");
      metadata.emplace(strings[0].string(), strings[1].string());
    }
    const auto threads = static_cast<int>(copy.field("threads").integer(1, max_threads));
    return compute_promise(
        info.Env(), "sightline:copy-tensors",
        [file = copy.field("file").file_path(), tensors = std::move(tensors), metadata = std::move(metadata), threads] {
          copy_tensors(file, tensors, metadata, threads);
          return std::monostate{};
        },
        [](Napi::Env env, std::monostate) { return env.Undefined(); });
  });
}

}  // namespace sightline
