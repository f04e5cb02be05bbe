#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "addon/testing/array_places.h"
#include "core/activation.h"
#include "core/elements.h"
#include "core/error.h"
#include "core/mirrored.h"
#include "core/precision.h"

namespace sightline {

/**
 * Fills an op's argument struct from a JavaScript object whose properties are named as the struct's fields:
 * typed arrays of the field's element type (or null) for pointers, where numbers may be stored in several ways Float32Array
 * or Uint16Array (the bits of bfloat16), arrays of those for arrays of pointers,
 * numbers, booleans. Lengths are not checked: an op's contract does not say them in a form that code could read.
 */
class OpArguments {
 public:
  /** @param places  where the op finds the arrays; must outlive this */
  OpArguments(std::string op, Napi::Object object, ArrayPlaces& places)
      : op_(std::move(op)), object_(object), places_(places) {}

  /** @throws invalid_argument naming the op and the field that is missing, mistyped or unknown */
  template <class Args>
  Args read() {
    Args args{};
    std::vector<std::string> fields;
    args.visit([&](const char* name, auto& field) {
      fields.emplace_back(name);
      require(object_.Has(name), op_, ".", name, ": missing; pass null for an argument that is not wanted");
      read_field(name, object_.Get(name), field);
    });
    const Napi::Array names = object_.GetPropertyNames();
    for (uint32_t i = 0; i < names.Length(); ++i) {
      const std::string name = names.Get(i).As<Napi::String>();
      bool known = false;
      for (const std::string& field : fields) known = known || field == name;
      require(known, op_, ".", name, ": this op has no such argument");
    }
    return args;
  }

 private:
  void read_field(const char* name, const Napi::Value& value, int64_t& field) {
    field = number(name, value).Int64Value();
  }
  void read_field(const char* name, const Napi::Value& value, float& field) {
    field = number(name, value).FloatValue();
  }
  void read_field(const char* name, const Napi::Value& value, bool& field) {
    require(value.IsBoolean(), op_, ".", name, ": expected a boolean");
    field = value.As<Napi::Boolean>();
  }

  void read_field(const char* name, const Napi::Value& value, Precision& field) {
    const std::string precision = value.IsString() ? value.As<Napi::String>() : std::string();
    require(precision == "fp32" || precision == "bf16", op_, ".", name, ": expected \"fp32\" or \"bf16\"");
    field = precision == "bf16" ? Precision::bf16 : Precision::fp32;
  }
  void read_field(const char* name, const Napi::Value& value, Activation& field) {
    const std::string kind = value.IsString() ? value.As<Napi::String>() : std::string();
    require(kind == "gelu" || kind == "gelu_tanh" || kind == "quick_gelu", op_, ".", name,
            ": expected \"gelu\", \"gelu_tanh\" or \"quick_gelu\"");
    field = kind == "gelu" ? Activation::gelu : kind == "gelu_tanh" ? Activation::gelu_tanh : Activation::quick_gelu;
  }

  template <class Element>
  void read_field(const char* name, const Napi::Value& value, Element*& field) {
    field = value.IsNull() ? nullptr : elements<std::remove_const_t<Element>>(name, value, !std::is_const_v<Element>).device;
  }

  void read_field(const char* name, const Napi::Value& value, Elements& field) { field = typed_elements(name, value, true); }
  void read_field(const char* name, const Napi::Value& value, ConstElements& field) { field = typed_elements(name, value, false); }
  void read_field(const char* name, const Napi::Value& value, void*& field) { field = typed_elements(name, value, true).data; }
  void read_field(const char* name, const Napi::Value& value, const void*& field) { field = typed_elements(name, value, false).data; }

  template <class Element>
  void read_field(const char* name, const Napi::Value& value, Mirrored<Element>& field) {
    field = value.IsNull() ? Mirrored<Element>() : elements<Element>(name, value, false);
  }
  void read_field(const char* name, const Napi::Value& value, Mirrored<void*>& field) { field = pointers<void*>(name, value, true); }
  void read_field(const char* name, const Napi::Value& value, Mirrored<const void*>& field) { field = pointers<const void*>(name, value, false); }
  void read_field(const char* name, const Napi::Value& value, Mirrored<float*>& field) { field = pointers<float*>(name, value, true); }
  void read_field(const char* name, const Napi::Value& value, Mirrored<const float*>& field) { field = pointers<const float*>(name, value, false); }

  Napi::Number number(const char* name, const Napi::Value& value) {
    require(value.IsNumber(), op_, ".", name, ": expected a number");
    return value.As<Napi::Number>();
  }

  /** An array as JavaScript has it, and as the op finds it. */
  template <class Element>
  struct Placed {
    Element* host;
    Element* device;
    operator Mirrored<Element>() const { return {host, device}; }  // NOLINT
  };

  template <class Element>
  Placed<Element> placed(const Napi::Value& value, bool written) {
    const auto view = value.As<Napi::TypedArray>();
    const auto at = [offset = view.ByteOffset()](void* buffer) {
      return buffer == nullptr ? nullptr : reinterpret_cast<Element*>(static_cast<char*>(buffer) + offset);
    };
    return {at(view.ArrayBuffer().Data()), at(places_.place(view.ArrayBuffer(), written))};
  }

  template <class Element>
  Placed<Element> elements(const std::string& name, const Napi::Value& value, bool written) {
    constexpr napi_typedarray_type type = std::is_same_v<Element, float>     ? napi_float32_array
                                          : std::is_same_v<Element, double>  ? napi_float64_array
                                          : std::is_same_v<Element, int32_t> ? napi_int32_array
                                          : std::is_same_v<Element, int64_t> ? napi_bigint64_array
                                                                             : napi_uint32_array;
    constexpr const char* type_name = type == napi_float32_array   ? "Float32Array"
                                      : type == napi_float64_array ? "Float64Array"
                                      : type == napi_int32_array   ? "Int32Array"
                                      : type == napi_bigint64_array ? "BigInt64Array"
                                                                   : "Uint32Array";
    require(value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type, op_, ".", name,
            ": expected a ", type_name, " or null");
    return placed<Element>(value, written);
  }

  /** Float32Array: f32; Uint16Array: the bits of bf16. */
  Elements typed_elements(const std::string& name, const Napi::Value& value, bool written) {
    if (value.IsNull()) return {};
    if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint16_array)
      return {placed<uint16_t>(value, written).device, DType::bf16};
    return elements<float>(name, value, written).device;
  }

  /** @tparam Pointer  of fp32, or of void where elements may be stored in several ways; const where the op only reads */
  template <class Pointer>
  Mirrored<Pointer> pointers(const std::string& name, const Napi::Value& value, bool written) {
    using Element = std::remove_cv_t<std::remove_pointer_t<Pointer>>;
    require(value.IsArray(), op_, ".", name, ": expected an array of Float32Array or Uint16Array");
    const Napi::Array array = value.As<Napi::Array>();
    const auto list = std::make_shared<std::vector<Pointer>>();
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const std::string element = concat(name, "[", i, "]");
      if constexpr (std::is_void_v<Element>)
        list->push_back(typed_elements(element, array.Get(i), written).data);
      else
        list->push_back(elements<Element>(element, array.Get(i), written).device);
    }
    lists_.push_back(list);
    return {list->data(), static_cast<const Pointer*>(places_.place_list(list->data(), list->size()))};
  }

  std::string op_;
  Napi::Object object_;
  ArrayPlaces& places_;
  std::vector<std::shared_ptr<void>> lists_;
};

}  // namespace sightline
