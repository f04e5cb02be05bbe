#pragma once

#include <napi.h>

#include <cstring>
#include <type_traits>

#include "addon/failure.h"

namespace sightline {

/**
 * Makes a C function callable from tests. Numbers and enumerations are numbers, 64-bit integers may be BigInts; a pointer is an
 * address (BigInt), null, or a typed array, whose memory it then is; a struct of 32-bit numbers passed by value is a
 * Uint32Array, any other struct a typed array of its size.
 */
template <class Type>
Type c_argument(const Napi::Value& value) {
  if constexpr (std::is_pointer_v<Type>) {
    uintptr_t address = 0;
    bool lossless = true;
    if (value.IsBigInt()) {
      address = value.As<Napi::BigInt>().Uint64Value(&lossless);
    } else if (value.IsTypedArray()) {
      const auto array = value.As<Napi::TypedArray>();
      address = reinterpret_cast<uintptr_t>(array.ArrayBuffer().Data()) + array.ByteOffset();
    } else {
      require(value.IsNull(), "argument: expected an address, a typed array or null");
    }
    return reinterpret_cast<Type>(address);
  } else if constexpr (std::is_enum_v<Type>) {
    return static_cast<Type>(c_argument<std::underlying_type_t<Type>>(value));
  } else if constexpr (std::is_class_v<Type>) {
    const auto array = value.As<Napi::TypedArray>();
    require(array.ByteLength() == sizeof(Type), "argument: expected ", sizeof(Type), " bytes, received ", array.ByteLength());
    Type structure;
    std::memcpy(&structure, static_cast<const char*>(array.ArrayBuffer().Data()) + array.ByteOffset(), sizeof structure);
    return structure;
  } else {
    if (value.IsBigInt()) {
      bool lossless = true;
      return static_cast<Type>(value.As<Napi::BigInt>().Uint64Value(&lossless));
    }
    return static_cast<Type>(value.As<Napi::Number>().DoubleValue());
  }
}

template <class Type>
Napi::Value c_result(Napi::Env env, Type result) {
  if constexpr (std::is_same_v<Type, const char*>) {
    return Napi::String::New(env, result);
  } else if constexpr (std::is_pointer_v<Type>) {
    return Napi::BigInt::New(env, static_cast<uint64_t>(reinterpret_cast<uintptr_t>(result)));
  } else {
    return Napi::Number::New(env, static_cast<double>(result));
  }
}

template <class Result, class... Types>
Napi::Function c_function(Napi::Env env, Result (*function)(Types...)) {
  return Napi::Function::New(env, [function](const Napi::CallbackInfo& info) -> Napi::Value {
    return guard(info.Env(), [&]() -> Napi::Value {
      require(info.Length() == sizeof...(Types), "call: expected ", sizeof...(Types), " arguments, received ", info.Length());
      const auto call = [&]<size_t... Index>(std::index_sequence<Index...>) {
        return function(c_argument<Types>(info[Index])...);
      };
      if constexpr (std::is_void_v<Result>) {
        call(std::index_sequence_for<Types...>());
        return info.Env().Undefined();
      } else {
        return c_result(info.Env(), call(std::index_sequence_for<Types...>()));
      }
    });
  });
}

}  // namespace sightline
