#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace sightline {

// Op sources are compiled once per instruction-set path, and what they call must not be emitted by one and linked into all.
#define SIGHTLINE_ALWAYS_INLINE [[gnu::always_inline]] inline

/** How a number is stored. bf16 is the upper half of an fp32: 8 exponent and 8 significant bits, one of them implied. */
enum class DType { f32, bf16 };

SIGHTLINE_ALWAYS_INLINE constexpr int64_t size_of(DType type) { return type == DType::bf16 ? 2 : 4; }

/** A stored bfloat16. Arithmetic is done in fp32. */
struct bf16 {
  uint16_t bits;
};

SIGHTLINE_ALWAYS_INLINE float to_float(bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }
/** To nearest, ties to even; NaN stays NaN. */
SIGHTLINE_ALWAYS_INLINE bf16 to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (x != x) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

/**
 * For an op that takes elements in pairs where they are stored as bf16.
 * @param argument  the op and its argument that says how many elements there are
 * @throws invalid_argument if an odd number of bf16 is meant
 */
void require_pairs(const char* argument, DType type, int64_t count);

/** A pointer to numbers of a type that is known at run time; null where an argument is not wanted. */
struct Elements {
  void* data = nullptr;
  DType type = DType::f32;

  SIGHTLINE_ALWAYS_INLINE Elements() = default;
  SIGHTLINE_ALWAYS_INLINE Elements(void* data, DType type) : data(data), type(type) {}
  SIGHTLINE_ALWAYS_INLINE Elements(float* data) : data(data) {}  // NOLINT: what is a float* anyway needs no ceremony
  SIGHTLINE_ALWAYS_INLINE explicit operator bool() const { return data != nullptr; }

  /** The address, where the type is known to be T's. */
  template <class T>
  SIGHTLINE_ALWAYS_INLINE T* as() const {
    return static_cast<T*>(data);
  }
  /** The element `offset` further on. */
  SIGHTLINE_ALWAYS_INLINE Elements at(int64_t offset) const { return {static_cast<char*>(data) + offset * size_of(type), type}; }
};

/** As Elements, for reading. */
struct ConstElements {
  const void* data = nullptr;
  DType type = DType::f32;

  SIGHTLINE_ALWAYS_INLINE ConstElements() = default;
  SIGHTLINE_ALWAYS_INLINE ConstElements(const void* data, DType type) : data(data), type(type) {}
  SIGHTLINE_ALWAYS_INLINE ConstElements(const float* data) : data(data) {}               // NOLINT
  SIGHTLINE_ALWAYS_INLINE ConstElements(Elements x) : data(x.data), type(x.type) {}      // NOLINT
  SIGHTLINE_ALWAYS_INLINE ConstElements(std::nullptr_t) {}                               // NOLINT
  SIGHTLINE_ALWAYS_INLINE explicit operator bool() const { return data != nullptr; }

  template <class T>
  SIGHTLINE_ALWAYS_INLINE const T* as() const {
    return static_cast<const T*>(data);
  }
  SIGHTLINE_ALWAYS_INLINE ConstElements at(int64_t offset) const { return {static_cast<const char*>(data) + offset * size_of(type), type}; }
};

/**
 * For an op that takes these arguments in one type only.
 * @param arguments  their names, as a message would list them
 * @throws invalid_argument unless `types`, at least one, are all the same
 */
void require_one_type(const char* op, const char* arguments, std::initializer_list<DType> types);

}  // namespace sightline
