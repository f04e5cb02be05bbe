#include "emulator/ptx/lanes/formats.h"

// float32 arithmetic rounded toward zero (rz), down (rm) or up (rp); nvcc uses it within functions such as roundf. An exact
// zero has the sign that rounding to nearest gives it.
namespace sightline::emulator::SIGHTLINE_ISA {
namespace {

enum class Direction { zero, down, up };

/** An exact value: its nearest float64 and the little that is missing. */
struct Exact {
  double value, rest;
};

Exact sum_of(double a, double b) {
  const double sum = a + b, part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}

float next_up(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (x == 0.0f) return std::bit_cast<float>(1u);
  return std::bit_cast<float>(x > 0.0f ? bits + 1 : bits - 1);
}

template <Direction direction>
float rounded(Exact exact) {
  const float nearest = static_cast<float>(exact.value);
  const double difference = exact.value - static_cast<double>(nearest);
  // Infinities and NaN stay; a finite value that the nearest float32 overflows has a difference of infinity.
  if (!(difference == difference)) return nearest;
  const double beyond = difference != 0.0 ? difference : exact.rest;
  const bool lower = direction == Direction::down || (direction == Direction::zero && nearest > 0.0f);
  const bool upper = direction == Direction::up || (direction == Direction::zero && nearest < 0.0f);
  if (beyond < 0.0 && lower) return -next_up(-nearest);
  if (beyond > 0.0 && upper) return next_up(nearest);
  return nearest;
}

template <Direction direction>
constexpr auto arithmetic(const char* type) {
  return rows(row("add", type, [](float a, float b) { return rounded<direction>(sum_of(static_cast<double>(a), static_cast<double>(b))); }),
              row("sub", type, [](float a, float b) { return rounded<direction>(sum_of(static_cast<double>(a), -static_cast<double>(b))); }),
              // The product of two float32 values is exact in float64.
              row("mul", type, [](float a, float b) { return rounded<direction>({static_cast<double>(a) * static_cast<double>(b), 0.0}); }),
              row("fma", type, [](float a, float b, float c) {
                return rounded<direction>(sum_of(static_cast<double>(a) * static_cast<double>(b), static_cast<double>(c)));
              }));
}

template <Direction direction>
constexpr auto conversions(const char* operation) {
  return rows(row(operation, ".f32", ".f64", [](double x) { return rounded<direction>({x, 0.0}); }),
              row(operation, ".f32", ".s32", [](int32_t x) { return rounded<direction>({static_cast<double>(x), 0.0}); }),
              row(operation, ".f32", ".u32", [](uint32_t x) { return rounded<direction>({static_cast<double>(x), 0.0}); }));
}

}  // namespace

RowList directed_rows() {
  static constexpr auto all = arithmetic<Direction::zero>(".rz.f32") + arithmetic<Direction::down>(".rm.f32") +
                              arithmetic<Direction::up>(".rp.f32") + conversions<Direction::zero>("cvt.rz") +
                              conversions<Direction::down>("cvt.rm") + conversions<Direction::up>("cvt.rp");
  return list_of(all);
}

}  // namespace sightline::emulator::SIGHTLINE_ISA
