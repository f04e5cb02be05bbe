#include "emulator/ptx/lanes/lanewise.h"

// Integer arithmetic. Additions and products are done unsigned: PTX wraps around.
namespace sightline::emulator::SIGHTLINE_ISA {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

template <class T>
constexpr T lowest() {
  return std::is_signed_v<T> ? static_cast<T>(Unsigned<T>{1} << (8 * sizeof(T) - 1)) : T{0};
}

/** Quotient toward zero. A GPU does not trap: a division by zero gives all ones, lowest / -1 wraps. */
template <class T>
T quotient(T a, T b) {
  if (b == 0) return static_cast<T>(~Unsigned<T>{0});
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return static_cast<T>(Unsigned<T>{0} - static_cast<Unsigned<T>>(a));
  return static_cast<T>(a / b);
}

template <class T>
T remainder(T a, T b) {
  if (b == 0) return a;
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
  return static_cast<T>(a % b);
}

template <class T>
T high_product(T a, T b) {
  if constexpr (sizeof(T) == 8) {
    using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
    return static_cast<T>(static_cast<Wide>(a) * b >> 64);
  } else {
    using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
    return static_cast<T>(static_cast<Wide>(a) * b >> 8 * sizeof(T));
  }
}

template <class T>
T low_product(T a, T b) {
  // Through 64 bits: products of uint16_t would overflow int.
  return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

/** Rows of one type. */
template <class T>
constexpr auto arithmetic() {
  constexpr const char* type = suffix<T>();
  return rows(
      row("add", type, [](T a, T b) { return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b)); }),
      row("sub", type, [](T a, T b) { return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b)); }),
      row("mul.lo", type, [](T a, T b) { return low_product<T>(a, b); }),
      row("mul.hi", type, [](T a, T b) { return high_product<T>(a, b); }),
      row("mad.lo", type,
          [](T a, T b, T c) {
            return static_cast<T>(static_cast<Unsigned<T>>(low_product<T>(a, b)) + static_cast<Unsigned<T>>(c));
          }),
      row("mad.hi", type,
          [](T a, T b, T c) {
            return static_cast<T>(static_cast<Unsigned<T>>(high_product<T>(a, b)) + static_cast<Unsigned<T>>(c));
          }),
      row("div", type, [](T a, T b) { return quotient<T>(a, b); }), row("rem", type, [](T a, T b) { return remainder<T>(a, b); }),
      row("min", type, [](T a, T b) { return a < b ? a : b; }), row("max", type, [](T a, T b) { return a > b ? a : b; }));
}

/** Rows of one signed type. */
template <class T>
constexpr auto signs() {
  constexpr const char* type = suffix<T>();
  return rows(row("neg", type, [](T a) { return static_cast<T>(Unsigned<T>{0} - static_cast<Unsigned<T>>(a)); }),
              row("abs", type, [](T a) { return a < 0 ? static_cast<T>(Unsigned<T>{0} - static_cast<Unsigned<T>>(a)) : a; }));
}

/** Products of twice the width. */
template <class T, class Wide>
constexpr auto wide() {
  constexpr const char* type = suffix<T>();
  return rows(row("mul.wide", type, [](T a, T b) { return static_cast<Wide>(static_cast<Wide>(a) * static_cast<Wide>(b)); }),
              row("mad.wide", type, [](T a, T b, Wide c) {
                const auto product = static_cast<Unsigned<Wide>>(static_cast<Wide>(a) * static_cast<Wide>(b));
                return static_cast<Wide>(product + static_cast<Unsigned<Wide>>(c));
              }));
}

}  // namespace

RowList integer_rows() {
  static constexpr auto all = arithmetic<int16_t>() + arithmetic<uint16_t>() + arithmetic<int32_t>() + arithmetic<uint32_t>() +
                              arithmetic<int64_t>() + arithmetic<uint64_t>() + signs<int16_t>() + signs<int32_t>() +
                              signs<int64_t>() + wide<int16_t, int32_t>() + wide<uint16_t, uint32_t>() +
                              wide<int32_t, int64_t>() + wide<uint32_t, uint64_t>();
  return list_of(all);
}

}  // namespace sightline::emulator::SIGHTLINE_ISA
