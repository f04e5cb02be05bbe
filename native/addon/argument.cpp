#include "addon/argument.h"

#include <cmath>

#include "io/safetensors_header.h"

namespace sightline {
namespace {

/** What a message says was received. */
std::string describe(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined: return "nothing";
    case napi_string: return quote_name(value.As<Napi::String>().Utf8Value());
    case napi_null:
    case napi_boolean:
    case napi_number: return value.ToString();
    case napi_object: {
      const Napi::Value constructor = value.As<Napi::Object>().Get("constructor");
      if (!constructor.IsFunction()) return "an object";
      const Napi::Value name = constructor.As<Napi::Object>().Get("name");
      return name.IsString() ? "an object of class " + name.As<Napi::String>().Utf8Value() : "an object";
    }
    default: return "a value of another type";
  }
}

}  // namespace

void Argument::fail_expected(const std::string& expected) const {
  fail(ErrorCode::invalid_argument, path_, ": expected ", expected, ", received ", describe(value_));
}

Argument Argument::field(const char* name) const {
  if (!value_.IsObject()) fail_expected("an object");
  return {value_.As<Napi::Object>().Get(name), path_.empty() ? name : path_ + "." + name};
}

std::vector<Argument> Argument::elements() const {
  if (!value_.IsArray()) fail_expected("an array");
  const auto array = value_.As<Napi::Array>();
  std::vector<Argument> elements;
  elements.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    elements.emplace_back(array.Get(i), path_ + "[" + std::to_string(i) + "]");
  }
  return elements;
}

std::vector<std::pair<Argument, Argument>> Argument::entries() const {
  if (!value_.IsObject()) fail_expected("an object");
  const auto object = value_.As<Napi::Object>();
  std::vector<std::pair<Argument, Argument>> entries;
  for (const Argument& name : Argument(object.GetPropertyNames(), path_).elements()) {
    entries.emplace_back(Argument(name.value_, path_), field(name.string().c_str()));
  }
  return entries;
}

int64_t Argument::integer(int64_t least, int64_t most) const {
  const double value = value_.IsNumber() ? value_.As<Napi::Number>().DoubleValue() : std::nan("");
  // The bounds are below 2^53 in magnitude, so the comparisons are exact; a NaN fails them.
  if (value >= static_cast<double>(least) && value <= static_cast<double>(most) &&
      value == std::trunc(value)) {
    return static_cast<int64_t>(value);
  }
  fail_expected(concat("an integer in [", least, ", ", most, "]"));
}

float Argument::number() const {
  if (!value_.IsNumber()) fail_expected("a number");
  return value_.As<Napi::Number>().FloatValue();
}

bool Argument::boolean() const {
  if (!value_.IsBoolean()) fail_expected("true or false");
  return value_.As<Napi::Boolean>();
}

std::string Argument::string() const {
  if (!value_.IsString()) fail_expected("a string");
  return value_.As<Napi::String>();
}

std::string Argument::file_path() const {
  const std::string path = string();
  if (path.empty() || path.find('\0') != std::string::npos) fail_expected("the path of a file");
  return path;
}

std::pair<const void*, size_t> Argument::typed_array(napi_typedarray_type type, const char* name) const {
  if (!value_.IsTypedArray() || value_.As<Napi::TypedArray>().TypedArrayType() != type) fail_expected(name);
  void* data = nullptr;
  size_t length = 0;
  const napi_status status =
      napi_get_typedarray_info(value_.Env(), value_, nullptr, &length, &data, nullptr, nullptr);
  if (status != napi_ok) throw Napi::Error::New(value_.Env());
  return {data, length};
}

std::vector<int32_t> Argument::int32_array() const {
  const auto [data, length] = typed_array(napi_int32_array, "an Int32Array");
  const auto* elements = static_cast<const int32_t*>(data);
  return {elements, elements + length};
}

std::vector<float> Argument::float32_array() const {
  const auto [data, length] = typed_array(napi_float32_array, "a Float32Array");
  const auto* elements = static_cast<const float*>(data);
  return {elements, elements + length};
}

std::string Argument::byte_array() const {
  const std::span<const uint8_t> bytes = bytes_in_place();
  return {bytes.begin(), bytes.end()};
}

std::span<const uint8_t> Argument::bytes_in_place() const {
  const auto [data, length] = typed_array(napi_uint8_array, "a Uint8Array");
  return {static_cast<const uint8_t*>(data), length};
}

}  // namespace sightline
