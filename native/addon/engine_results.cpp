#include "addon/engine_results.h"

#include <cstring>

namespace sightline {
namespace {

/** From here on it costs less to hand memory over, with a finalizer, than to copy it. */
constexpr size_t hand_over_bytes = 64 * 1024;

template <class Element>
Napi::ArrayBuffer copy_to_buffer(Napi::Env env, const std::vector<Element>& elements) {
  const size_t bytes = elements.size() * sizeof(Element);
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes);
  if (bytes > 0) std::memcpy(buffer.Data(), elements.data(), bytes);
  return buffer;
}

template <class Element>
Napi::ArrayBuffer to_buffer(Napi::Env env, std::vector<Element> elements) {
  const size_t bytes = elements.size() * sizeof(Element);
  if (bytes < hand_over_bytes) return copy_to_buffer(env, elements);
  auto owner = std::make_unique<std::vector<Element>>(std::move(elements));
  const napi_finalize finalize = [](napi_env, void*, void* hint) {
    delete static_cast<std::vector<Element>*>(hint);
  };
  napi_value buffer = nullptr;
  const napi_status status =
      napi_create_external_arraybuffer(env, owner->data(), bytes, finalize, owner.get(), &buffer);
  // Runtimes that cage the JavaScript heap (Electron) allow no foreign memory in it.
  if (status == napi_no_external_buffers_allowed) return copy_to_buffer(env, *owner);
  if (status != napi_ok) throw Napi::Error::New(env);
  owner.release();  // the finalizer owns it now
  return {env, buffer};
}

template <class Element>
Napi::Value to_typed_array(Napi::Env env, std::vector<Element> elements) {
  const size_t count = elements.size();
  return Napi::TypedArrayOf<Element>::New(env, count, to_buffer(env, std::move(elements)), 0);
}

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::end: return "end";
    case FinishReason::stop: return "stop";
    case FinishReason::length: return "length";
  }
  return "length";
}

}  // namespace

Napi::Value to_js(Napi::Env env, Completion completion) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("tokens", to_typed_array(env, std::move(completion.tokens)));
  object.Set("logProbs", to_typed_array(env, std::move(completion.log_probs)));
  object.Set("value", Napi::Number::New(env, static_cast<double>(completion.value)));
  object.Set("finishReason", finish_reason_name(completion.finish_reason));
  return object;
}

Napi::Value to_js(Napi::Env env, ForwardResult result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("logProbs", to_typed_array(env, std::move(result.log_probs)));
  object.Set("offsets", to_typed_array(env, std::move(result.offsets)));
  object.Set("values", to_typed_array(env, std::move(result.values)));
  // Every response has a token, so entropies are empty only where none were asked for.
  if (!result.entropies.empty()) object.Set("entropies", to_typed_array(env, std::move(result.entropies)));
  object.Set("tape", Napi::Number::New(env, static_cast<double>(result.tape)));
  return object;
}

Napi::Value to_js(Napi::Env env, const std::vector<double>& gradient_norms) {
  Napi::Array norms = Napi::Array::New(env, gradient_norms.size());
  for (uint32_t i = 0; i < gradient_norms.size(); ++i) norms.Set(i, gradient_norms[i]);
  Napi::Object object = Napi::Object::New(env);
  object.Set("gradientNorms", norms);
  return object;
}

Napi::Value to_js(Napi::Env env, std::monostate) { return env.Undefined(); }

Napi::Value to_js(Napi::Env env, const std::vector<ParameterInfo>& parameters) {
  Napi::Array array = Napi::Array::New(env, parameters.size());
  for (uint32_t i = 0; i < parameters.size(); ++i) {
    const ParameterInfo& parameter = parameters[i];
    Napi::Array shape = Napi::Array::New(env, parameter.shape.size());
    for (uint32_t axis = 0; axis < parameter.shape.size(); ++axis) {
      shape.Set(axis, static_cast<double>(parameter.shape[axis]));
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", parameter.name);
    object.Set("shape", shape);
    object.Set("component", component_name(parameter.component));
    object.Set("trainable", parameter.trainable);
    array.Set(i, object);
  }
  return array;
}

Napi::Value to_js(Napi::Env env, const std::array<Arena::Use, purpose_count>& memory) {
  Napi::Object object = Napi::Object::New(env);
  for (int i = 0; i < purpose_count; ++i) {
    const Arena::Use& use = memory[static_cast<size_t>(i)];
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("currentBytes", static_cast<double>(use.current_bytes));
    entry.Set("peakBytes", static_cast<double>(use.peak_bytes));
    object.Set(purpose_name(static_cast<Purpose>(i)), entry);
  }
  return object;
}

}  // namespace sightline
