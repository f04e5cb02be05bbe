#pragma once

#include "emulator/ptx/lanes/lanewise.h"

/** Conversions of the 16-bit floating-point formats, and flushing of subnormals (`.ftz`). */
namespace sightline::emulator::SIGHTLINE_ISA {
namespace {

/** Zero of the same sign in place of a subnormal; the identity for what is not a float32. */
inline float flush(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return bits & 0x7f800000u ? x : std::bit_cast<float>(bits & 0x80000000u);
}
template <class T>
T flush(T x) {
  return x;
}

inline float widen(Bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x) << 16); }

/** Round to nearest even; every NaN becomes the canonical 0x7fff. */
inline Bf16 narrow_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
  return static_cast<Bf16>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded);
}

/** Round toward zero. */
inline Bf16 truncate_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return static_cast<Bf16>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : bits >> 16);
}

/** Zero for what is negative; NaN stays NaN. */
inline float rectify(float x) { return x < 0.0f ? 0.0f : x; }

inline float widen(F16 x) {
  const uint32_t half = static_cast<uint16_t>(x), sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31,
                 fraction = half & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  // Subnormal: fraction x 2^-24, exact in float32.
  return std::bit_cast<float>(std::bit_cast<uint32_t>(static_cast<float>(fraction) * 0x1p-24f) | sign);
}

/** Round to nearest even; overflow to infinity; every NaN becomes the canonical 0x7fff. */
inline F16 narrow_f16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) return static_cast<F16>(0x7fff);
  if (magnitude >= 0x477ff000u) half = 0x7c00u;
  else if (magnitude >= 0x38800000u) half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
  // Below the smallest normal: adding 0.5 leaves the fraction, rounded to nearest even, in the lowest bits.
  else half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  return static_cast<F16>(sign | half);
}

/** Two 16-bit values in one register. */
inline uint32_t pair(Bf16 low, Bf16 high) { return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16; }
inline uint32_t pair(F16 low, F16 high) { return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16; }
inline Bf16 low_bf16(uint32_t x) { return static_cast<Bf16>(x & 0xffffu); }
inline Bf16 high_bf16(uint32_t x) { return static_cast<Bf16>(x >> 16); }

}  // namespace
}  // namespace sightline::emulator::SIGHTLINE_ISA
