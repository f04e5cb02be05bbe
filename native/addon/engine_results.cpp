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

double to_milliseconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-6; }

/** NativeProfile's `events`: one array per field, and the shapes' dimensions one after the other. */
Napi::Value to_js(Napi::Env env, const std::vector<Profile::Event>& events) {
  std::vector<int32_t> kinds;
  std::vector<double> starts, ends, flops, bf16_flops, bytes, shapes;
  for (const Profile::Event& event : events) {
    kinds.push_back(event.kind);
    starts.push_back(to_milliseconds(event.start));
    ends.push_back(to_milliseconds(event.end));
    flops.push_back(static_cast<double>(event.work.flops));
    bf16_flops.push_back(static_cast<double>(event.work.bf16_flops));
    bytes.push_back(static_cast<double>(event.work.bytes));
    for (const int64_t dimension : event.work.shape) shapes.push_back(static_cast<double>(dimension));
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("kinds", to_typed_array(env, std::move(kinds)));
  object.Set("startsMs", to_typed_array(env, std::move(starts)));
  object.Set("endsMs", to_typed_array(env, std::move(ends)));
  object.Set("flops", to_typed_array(env, std::move(flops)));
  object.Set("bf16Flops", to_typed_array(env, std::move(bf16_flops)));
  object.Set("bytes", to_typed_array(env, std::move(bytes)));
  object.Set("shapes", to_typed_array(env, std::move(shapes)));
  return object;
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

Napi::Value to_js(Napi::Env env, const Arena::Report& memory) {
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, const Arena::Use& use) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("currentBytes", static_cast<double>(use.current_bytes));
    entry.Set("peakBytes", static_cast<double>(use.peak_bytes));
    object.Set(name, entry);
  };
  for (int i = 0; i < purpose_count; ++i)
    set(purpose_name(static_cast<Purpose>(i)), memory.purposes[static_cast<size_t>(i)]);
  set("total", memory.total);
  return object;
}

Napi::Value to_js(Napi::Env env, const Profile& profile) {
  Napi::Array names = Napi::Array::New(env);
  for (int op = 0; op < op_count; ++op) names.Set(names.Length(), op_name(static_cast<Op>(op)));
  Napi::Array calls = Napi::Array::New(env);
  for (const Profile::ScopeTotals& totals : profile.scopes) {
    names.Set(names.Length(), totals.name);
    Napi::Object object = Napi::Object::New(env);
    object.Set("call", totals.name);
    object.Set("calls", static_cast<double>(totals.calls));
    object.Set("milliseconds", to_milliseconds(totals.nanoseconds));
    object.Set("nestedMilliseconds", to_milliseconds(totals.nested_nanoseconds));
    calls.Set(calls.Length(), object);
  }
  Napi::Array ops = Napi::Array::New(env);
  for (const Profile::OpTotals& totals : profile.ops) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("op", op_name(totals.op));
    object.Set("call", profile.scopes[static_cast<size_t>(totals.scope)].name);
    object.Set("calls", static_cast<double>(totals.calls));
    object.Set("milliseconds", to_milliseconds(totals.nanoseconds));
    object.Set("flops", static_cast<double>(totals.flops));
    object.Set("bf16Flops", static_cast<double>(totals.bf16_flops));
    object.Set("bytes", static_cast<double>(totals.bytes));
    ops.Set(ops.Length(), object);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("milliseconds", to_milliseconds(profile.nanoseconds));
  object.Set("busyMilliseconds", to_milliseconds(profile.busy_nanoseconds));
  object.Set("names", names);
  object.Set("opCount", op_count);
  object.Set("ops", ops);
  object.Set("calls", calls);
  object.Set("events", to_js(env, profile.events));
  object.Set("eventsLeftOut", static_cast<double>(profile.events_left_out));
  return object;
}

}  // namespace sightline
