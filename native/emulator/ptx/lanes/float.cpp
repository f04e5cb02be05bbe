#include "emulator/ptx/lanes/formats.h"

// Floating-point arithmetic, rounded to nearest even once per instruction.
namespace sightline::emulator::SIGHTLINE_ISA {
namespace {

float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
float root(float x) { return __builtin_sqrtf(x); }
double root(double x) { return __builtin_sqrt(x); }

template <class T>
using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
template <class T>
constexpr Bits<T> sign_bit = Bits<T>{1} << (8 * sizeof(T) - 1);

template <class T>
T negative(T x) {
  return std::bit_cast<T>(std::bit_cast<Bits<T>>(x) ^ sign_bit<T>);
}
template <class T>
T magnitude(T x) {
  return std::bit_cast<T>(std::bit_cast<Bits<T>>(x) & ~sign_bit<T>);
}
template <class T>
T with_sign_of(T sign, T x) {
  return std::bit_cast<T>((std::bit_cast<Bits<T>>(x) & ~sign_bit<T>) | (std::bit_cast<Bits<T>>(sign) & sign_bit<T>));
}

/** The number where one source is NaN; -0 counts as less than +0. */
template <class T>
T smaller(T a, T b) {
  const T equal = std::bit_cast<T>(std::bit_cast<Bits<T>>(a) | std::bit_cast<Bits<T>>(b));
  return a == b ? equal : (a < b || b != b) ? a : b;
}
template <class T>
T larger(T a, T b) {
  const T equal = std::bit_cast<T>(std::bit_cast<Bits<T>>(a) & std::bit_cast<Bits<T>>(b));
  return a == b ? equal : (a > b || b != b) ? a : b;
}

/** What float32 and float64 share. */
template <class T>
constexpr auto arithmetic() {
  constexpr const char* type = suffix<T>();
  return rows(row("add", type, [](T a, T b) { return a + b; }), row("sub", type, [](T a, T b) { return a - b; }),
              row("mul", type, [](T a, T b) { return a * b; }), row("fma", type, [](T a, T b, T c) { return fused(a, b, c); }),
              row("div", type, [](T a, T b) { return a / b; }), row("rcp", type, [](T a) { return T{1} / a; }),
              row("sqrt", type, [](T a) { return root(a); }), row("rsqrt", type, [](T a) { return T{1} / root(a); }),
              row("min", type, [](T a, T b) { return smaller(a, b); }), row("max", type, [](T a, T b) { return larger(a, b); }),
              row("neg", type, [](T a) { return negative(a); }), row("abs", type, [](T a) { return magnitude(a); }),
              row("copysign", type, [](T sign, T a) { return with_sign_of(sign, a); }));
}

/** The same with subnormal sources and results replaced by zero. */
constexpr auto flushing_arithmetic() {
  constexpr const char* type = ".ftz.f32";
  return rows(row("add", type, [](float a, float b) { return flush(flush(a) + flush(b)); }),
              row("sub", type, [](float a, float b) { return flush(flush(a) - flush(b)); }),
              row("mul", type, [](float a, float b) { return flush(flush(a) * flush(b)); }),
              row("fma", type, [](float a, float b, float c) { return flush(fused(flush(a), flush(b), flush(c))); }),
              row("div", type, [](float a, float b) { return flush(flush(a) / flush(b)); }),
              row("rcp", type, [](float a) { return flush(1.0f / flush(a)); }), row("sqrt", type, [](float a) { return root(flush(a)); }),
              row("rsqrt", type, [](float a) { return 1.0f / root(flush(a)); }),
              row("min", type, [](float a, float b) { return smaller(flush(a), flush(b)); }),
              row("max", type, [](float a, float b) { return larger(flush(a), flush(b)); }),
              row("neg", type, [](float a) { return negative(flush(a)); }), row("abs", type, [](float a) { return magnitude(flush(a)); }));
}

/** Functions that PTX has in approximation only. */
constexpr auto approximations() {
  return rows(row("ex2", ".f32", [](float a) { return __builtin_exp2f(a); }),
              row("ex2", ".ftz.f32", [](float a) { return flush(__builtin_exp2f(flush(a))); }),
              row("lg2", ".f32", [](float a) { return __builtin_log2f(a); }),
              row("lg2", ".ftz.f32", [](float a) { return __builtin_log2f(flush(a)); }),
              row("sin", ".f32", [](float a) { return __builtin_sinf(a); }),
              row("sin", ".ftz.f32", [](float a) { return flush(__builtin_sinf(flush(a))); }),
              row("cos", ".f32", [](float a) { return __builtin_cosf(a); }),
              row("cos", ".ftz.f32", [](float a) { return __builtin_cosf(flush(a)); }),
              row("tanh", ".f32", [](float a) { return __builtin_tanhf(a); }));
}

/** NaN where either source is. */
constexpr auto nan_keeping() {
  return rows(row("min.NaN", ".f32", [](float a, float b) { return a != a || b != b ? std::bit_cast<float>(0x7fffffffu) : smaller(a, b); }),
              row("max.NaN", ".f32", [](float a, float b) { return a != a || b != b ? std::bit_cast<float>(0x7fffffffu) : larger(a, b); }),
              row("testp.finite", ".f32", [](float a) { return magnitude(a) < __builtin_inff(); }),
              row("testp.infinite", ".f32", [](float a) { return magnitude(a) == __builtin_inff(); }),
              row("testp.notanumber", ".f32", [](float a) { return a != a; }),
              row("testp.number", ".f32", [](float a) { return a == a; }));
}

/**
 * a * b + c rounded once to bfloat16. The product is exact in float64; the sum's rounding error, found exactly, makes its last bit odd
 * when there is one, so that the second rounding sees on which side of a tie the sum lies.
 */
Bf16 fused_bf16(Bf16 a, Bf16 b, Bf16 c) {
  const double product = static_cast<double>(widen(a)) * static_cast<double>(widen(b)), addend = static_cast<double>(widen(c));
  const double sum = product + addend, part = sum - product;
  const double error = (product - (sum - part)) + (addend - part);
  const auto odd = [](double value, double rest) {
    const uint64_t bits = std::bit_cast<uint64_t>(value);
    if (!(rest != 0) || bits & 1 || !(magnitude(value) < __builtin_inf())) return value;
    return std::bit_cast<double>((rest > 0) == (value > 0) ? bits + 1 : bits - 1);
  };
  const double exact = odd(sum, error);
  const float single = static_cast<float>(exact);
  const double rest = exact - static_cast<double>(single);
  const uint32_t bits = std::bit_cast<uint32_t>(single);
  if (!(rest != 0) || bits & 1 || !(magnitude(single) < __builtin_inff())) return narrow_bf16(single);
  return narrow_bf16(std::bit_cast<float>((rest > 0) == (single > 0) ? bits + 1 : bits - 1));
}

constexpr auto brain_floats() {
  return rows(row("fma", ".bf16", [](Bf16 a, Bf16 b, Bf16 c) { return fused_bf16(a, b, c); }),
              row("min", ".bf16", [](Bf16 a, Bf16 b) { return narrow_bf16(smaller(widen(a), widen(b))); }),
              row("max", ".bf16", [](Bf16 a, Bf16 b) { return narrow_bf16(larger(widen(a), widen(b))); }),
              row("neg", ".bf16", [](Bf16 a) { return static_cast<Bf16>(static_cast<uint16_t>(a) ^ 0x8000u); }),
              row("abs", ".bf16", [](Bf16 a) { return static_cast<Bf16>(static_cast<uint16_t>(a) & 0x7fffu); }),
              row("fma", ".bf16x2", [](uint32_t a, uint32_t b, uint32_t c) {
                return pair(fused_bf16(low_bf16(a), low_bf16(b), low_bf16(c)), fused_bf16(high_bf16(a), high_bf16(b), high_bf16(c)));
              }),
              row("min", ".bf16x2", [](uint32_t a, uint32_t b) {
                return pair(narrow_bf16(smaller(widen(low_bf16(a)), widen(low_bf16(b)))),
                            narrow_bf16(smaller(widen(high_bf16(a)), widen(high_bf16(b)))));
              }),
              row("max", ".bf16x2", [](uint32_t a, uint32_t b) {
                return pair(narrow_bf16(larger(widen(low_bf16(a)), widen(low_bf16(b)))),
                            narrow_bf16(larger(widen(high_bf16(a)), widen(high_bf16(b)))));
              }),
              row("neg", ".bf16x2", [](uint32_t a) { return a ^ 0x80008000u; }),
              row("abs", ".bf16x2", [](uint32_t a) { return a & 0x7fff7fffu; }));
}

}  // namespace

RowList float_rows() {
  static constexpr auto all =
      arithmetic<float>() + arithmetic<double>() + flushing_arithmetic() + approximations() + nan_keeping() + brain_floats();
  return list_of(all);
}

}  // namespace sightline::emulator::SIGHTLINE_ISA
