#include "emulator/ptx/lanes/formats.h"

// cvt: conversions, named cvt[.rounding][.ftz][.relu|.sat] destination source.
namespace sightline::emulator::SIGHTLINE_ISA {
namespace {

enum class Rounding { nearest, zero, down, up };

template <Rounding rounding>
float integral(float x) {
  if constexpr (rounding == Rounding::nearest) return __builtin_rintf(x);
  else if constexpr (rounding == Rounding::zero) return __builtin_truncf(x);
  else if constexpr (rounding == Rounding::down) return __builtin_floorf(x);
  else return __builtin_ceilf(x);
}
template <Rounding rounding>
double integral(double x) {
  if constexpr (rounding == Rounding::nearest) return __builtin_rint(x);
  else if constexpr (rounding == Rounding::zero) return __builtin_trunc(x);
  else if constexpr (rounding == Rounding::down) return __builtin_floor(x);
  else return __builtin_ceil(x);
}

/** The integer nearest to an integral value, the limits beyond them, zero for NaN. */
template <class T>
T clamped(double x) {
  using U = std::make_unsigned_t<T>;
  constexpr int digits = 8 * sizeof(T) - std::is_signed_v<T>;
  constexpr T highest = static_cast<T>(static_cast<U>(~U{0}) >> std::is_signed_v<T>), lowest = static_cast<T>(~highest);
  const double limit = static_cast<double>(uint64_t{1} << (digits - 1)) * 2.0;
  if (!(x == x)) return 0;
  if (x >= limit) return highest;
  if (x <= (std::is_signed_v<T> ? -limit : 0.0)) return std::is_signed_v<T> ? lowest : T{0};
  return static_cast<T>(x);
}

template <class To, class... From>
constexpr auto from_integers() {
  return rows(row("cvt", suffix<To>(), suffix<From>(), [](From x) { return static_cast<To>(x); })...);
}
template <class To>
constexpr auto to_integer() {
  return from_integers<To, int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t>();
}
template <class To, class... From>
constexpr auto nearest_float() {
  return rows(row("cvt.rn", suffix<To>(), suffix<From>(), [](From x) { return static_cast<To>(x); })...);
}

template <class To, Rounding rounding>
constexpr auto rounded(const char* operation, const char* flushing) {
  return rows(row(operation, suffix<To>(), ".f32", [](float x) { return clamped<To>(integral<rounding>(x)); }),
              row(operation, suffix<To>(), ".f64", [](double x) { return clamped<To>(integral<rounding>(x)); }),
              row(flushing, suffix<To>(), ".f32", [](float x) { return clamped<To>(integral<rounding>(flush(x))); }));
}
template <class To>
constexpr auto from_floats() {
  return rounded<To, Rounding::nearest>("cvt.rni", "cvt.rni.ftz") + rounded<To, Rounding::zero>("cvt.rzi", "cvt.rzi.ftz") +
         rounded<To, Rounding::down>("cvt.rmi", "cvt.rmi.ftz") + rounded<To, Rounding::up>("cvt.rpi", "cvt.rpi.ftz");
}
template <Rounding rounding>
constexpr auto to_integral(const char* operation, const char* flushing) {
  return rows(row(operation, ".f32", ".f32", [](float x) { return integral<rounding>(x); }),
              row(operation, ".f64", ".f64", [](double x) { return integral<rounding>(x); }),
              row(flushing, ".f32", ".f32", [](float x) { return integral<rounding>(flush(x)); }));
}

/** Into [0, 1]; NaN becomes 0. */
float saturated(float x) { return x > 1.0f ? 1.0f : x > 0.0f ? x : 0.0f; }

constexpr auto between_floats() {
  return rows(
      row("cvt", ".f64", ".f32", [](float x) { return static_cast<double>(x); }),
      row("cvt", ".ftz.f64", ".f32", [](float x) { return static_cast<double>(flush(x)); }),
      row("cvt.rn", ".f32", ".f64", [](double x) { return static_cast<float>(x); }),
      row("cvt.rn.ftz", ".f32", ".f64", [](double x) { return flush(static_cast<float>(x)); }),
      row("cvt.sat", ".f32", ".f32", [](float x) { return saturated(x); }),
      row("cvt.ftz.sat", ".f32", ".f32", [](float x) { return saturated(flush(x)); }),
      row("cvt", ".f32", ".f32", [](float x) { return x; }), row("cvt.ftz", ".f32", ".f32", [](float x) { return flush(x); }),
      row("cvt", ".f64", ".f64", [](double x) { return x; }), row("cvt", ".f32", ".bf16", [](Bf16 x) { return widen(x); }),
      row("cvt", ".f32", ".f16", [](F16 x) { return widen(x); }),
      row("cvt.rn", ".bf16", ".f32", [](float x) { return narrow_bf16(x); }),
      row("cvt.rz", ".bf16", ".f32", [](float x) { return truncate_bf16(x); }),
      row("cvt.rn.relu", ".bf16", ".f32", [](float x) { return narrow_bf16(rectify(x)); }),
      row("cvt.rn", ".f16", ".f32", [](float x) { return narrow_f16(x); }),
      // The first source goes to the upper half.
      row("cvt.rn", ".bf16x2", ".f32", [](float high, float low) { return pair(narrow_bf16(low), narrow_bf16(high)); }),
      row("cvt.rz", ".bf16x2", ".f32", [](float high, float low) { return pair(truncate_bf16(low), truncate_bf16(high)); }),
      row("cvt.rn.relu", ".bf16x2", ".f32",
          [](float high, float low) { return pair(narrow_bf16(rectify(low)), narrow_bf16(rectify(high))); }),
      row("cvt.rn", ".f16x2", ".f32", [](float high, float low) { return pair(narrow_f16(low), narrow_f16(high)); }));
}

}  // namespace

RowList conversion_rows() {
  static constexpr auto integers = to_integer<int8_t>() + to_integer<uint8_t>() + to_integer<int16_t>() + to_integer<uint16_t>() +
                                   to_integer<int32_t>() + to_integer<uint32_t>() + to_integer<int64_t>() +
                                   to_integer<uint64_t>();
  static constexpr auto truncations = from_floats<int16_t>() + from_floats<uint16_t>() + from_floats<int32_t>() +
                                      from_floats<uint32_t>() + from_floats<int64_t>() + from_floats<uint64_t>();
  static constexpr auto floats =
      nearest_float<float, int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t>() +
      nearest_float<double, int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t>() +
      to_integral<Rounding::nearest>("cvt.rni", "cvt.rni.ftz") + to_integral<Rounding::zero>("cvt.rzi", "cvt.rzi.ftz") +
      to_integral<Rounding::down>("cvt.rmi", "cvt.rmi.ftz") + to_integral<Rounding::up>("cvt.rpi", "cvt.rpi.ftz") +
      between_floats();
  static constexpr auto all = integers + truncations + floats;
  return list_of(all);
}

}  // namespace sightline::emulator::SIGHTLINE_ISA
