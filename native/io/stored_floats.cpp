#include "io/stored_floats.h"

#include <bit>
#include <cstring>

#include "core/elements.h"
#include "core/error.h"

namespace sightline {
namespace {

/** IEEE binary16 to binary32 without branches or subnormal arithmetic, so that loops of it vectorise. */
float f16_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7FFF) << 13;
  const uint32_t exponent = magnitude >> 23;
  const uint32_t normal = magnitude + (uint32_t{127 - 15} << 23);
  const uint32_t infinite = magnitude | 0x7F800000;
  // (1 + m / 1024) 2^-14 - 2^-14 = m 2^-24, which is what a subnormal with mantissa m stands for.
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(0x38800000 | magnitude) - 0x1p-14f);
  const uint32_t finite = exponent == 0 ? subnormal : normal;
  return std::bit_cast<float>(sign | (exponent == 31 ? infinite : finite));
}

uint16_t float_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  uint32_t half;
  if (magnitude > 0x7F800000) {
    half = 0x7E00 | (magnitude >> 13 & 0x3FF);
  } else if (magnitude >= 0x47800000) {  // 2^16; what lies between that and the largest half rounds up to infinity below
    half = 0x7C00;
  } else if (magnitude < 0x38800000) {
    // Below 2^-14 halves are multiples of 2^-24, and so are the fp32 numbers in [0.5, 1): adding 0.5 rounds as wanted.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000;
  } else {
    half = (magnitude - (uint32_t{127 - 15} << 23) + 0xFFF + (magnitude >> 13 & 1)) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

/** Elements may lie at any byte, so they are copied, not cast. */
template <class Element, class Convert>
void load_elements(const char* from, float* out, uint64_t count, Convert convert) {
  for (uint64_t i = 0; i < count; ++i) {
    Element element;
    std::memcpy(&element, from + i * sizeof(Element), sizeof(Element));
    out[i] = convert(element);
  }
}

template <class Convert>
void store_halves(const float* from, char* to, uint64_t count, Convert convert) {
  for (uint64_t i = 0; i < count; ++i) {
    const uint16_t element = convert(from[i]);
    std::memcpy(to + i * sizeof element, &element, sizeof element);
  }
}

}  // namespace

bool holds_floats(Dtype dtype) {
  return dtype == Dtype::f32 || dtype == Dtype::f64 || dtype == Dtype::f16 || dtype == Dtype::bf16;
}

void load_floats(const char* from, Dtype dtype, float* out, uint64_t count) {
  if (count == 0) return;
  switch (dtype) {
    case Dtype::f32: std::memcpy(out, from, count * sizeof(float)); return;
    case Dtype::f64: return load_elements<double>(from, out, count, [](double element) { return static_cast<float>(element); });
    case Dtype::f16: return load_elements<uint16_t>(from, out, count, f16_to_float);
    case Dtype::bf16: return load_elements<uint16_t>(from, out, count, [](uint16_t bits) { return to_float(bf16{bits}); });
    default: fail(ErrorCode::format, "dtype: expected F32, F64, F16 or BF16, received ", dtype_name(dtype));
  }
}

void store_floats(const float* from, Dtype dtype, char* to, uint64_t count) {
  if (count == 0) return;
  switch (dtype) {
    case Dtype::f32: std::memcpy(to, from, count * sizeof(float)); return;
    case Dtype::f16: return store_halves(from, to, count, float_to_f16);
    case Dtype::bf16: return store_halves(from, to, count, [](float value) { return to_bf16(value).bits; });
    default: fail(ErrorCode::invalid_argument, "dtype: expected F32, BF16 or F16, received ", dtype_name(dtype));
  }
}

}  // namespace sightline
