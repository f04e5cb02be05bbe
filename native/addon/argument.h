#pragma once

#include <napi.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"

namespace sightline {

/** The largest integer up to which a JavaScript number holds every one. */
inline constexpr int64_t largest_exact_integer = (int64_t{1} << 53) - 1;

/** A value that came from JavaScript with the name that its caller knows it by, e.g. `request.sampling.topP`.
 */
class Argument {
 public:
  /** @param path  empty for an object whose fields are known by their names alone */
  Argument(Napi::Value value, std::string path) : value_(value), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  bool present() const { return !value_.IsUndefined(); }
  /** For an argument that may be a list or something else. */
  bool is_list() const { return value_.IsArray(); }
  bool null() const { return value_.IsNull(); }

  // Each of these throws invalid_argument, naming the path, what it expects and what it received.

  Argument field(const char* name) const;
  std::vector<Argument> elements() const;
  /** The names and values of an object that is a table. */
  std::vector<std::pair<Argument, Argument>> entries() const;
  /** An integer in [least, most]. */
  int64_t integer(int64_t least, int64_t most) const;
  /** An integer in [0, 2^31): a size, a count. */
  int64_t size() const { return integer(0, INT32_MAX); }
  float number() const;
  bool boolean() const;
  std::string string() const;
  /** A string that can name a file: not empty, without zero characters. */
  std::string file_path() const;
  /** Copies of the elements of an Int32Array, a Float32Array, a Uint8Array. */
  std::vector<int32_t> int32_array() const;
  std::vector<float> float32_array() const;
  std::string byte_array() const;
  /** The bytes of a Uint8Array where they are: valid until JavaScript runs again. */
  std::span<const uint8_t> bytes_in_place() const;
  /** The choice whose name the value is. */
  template <class Choice>
  Choice one_of(std::initializer_list<std::pair<const char*, Choice>> choices) const {
    const std::string name = value_.IsString() ? value_.As<Napi::String>().Utf8Value() : std::string();
    std::string expected;
    for (const auto& [choice_name, choice] : choices) {
      if (name == choice_name) return choice;
      expected += concat(expected.empty() ? "" : ", ", "\"", choice_name, "\"");
    }
    fail_expected("one of " + expected);
  }

 private:
  [[noreturn]] void fail_expected(const std::string& expected) const;
  /** Bytes of a typed array of this element type, in place: valid until JavaScript runs again. */
  std::pair<const void*, size_t> typed_array(napi_typedarray_type type, const char* name) const;

  Napi::Value value_;
  std::string path_;
};

}  // namespace sightline
