#include "emulator/ptx/lanes/formats.h"

// setp: comparisons that set a predicate. Those ending in u (and nan) hold where a source is NaN, the others do not.
namespace sightline::emulator::SIGHTLINE_ISA {
namespace {

/** Comparisons of float32 with subnormals taken for zero. */
constexpr auto flushed_ordered() {
  constexpr const char* type = ".ftz.f32";
  return rows(row("setp.eq", type, [](float a, float b) { return flush(a) == flush(b); }),
              row("setp.lt", type, [](float a, float b) { return flush(a) < flush(b); }),
              row("setp.le", type, [](float a, float b) { return flush(a) <= flush(b); }),
              row("setp.gt", type, [](float a, float b) { return flush(a) > flush(b); }),
              row("setp.ge", type, [](float a, float b) { return flush(a) >= flush(b); }));
}

/** Comparisons of any type as C++ has them. */
template <class T>
constexpr auto exact(const char* type) {
  return rows(row("setp.eq", type, [](T a, T b) { return a == b; }), row("setp.lt", type, [](T a, T b) { return a < b; }),
              row("setp.le", type, [](T a, T b) { return a <= b; }), row("setp.gt", type, [](T a, T b) { return a > b; }),
              row("setp.ge", type, [](T a, T b) { return a >= b; }));
}

template <class T>
constexpr auto integers() {
  constexpr const char* type = suffix<T>();
  return exact<T>(type) + rows(row("setp.ne", type, [](T a, T b) { return a != b; }));
}

/** Unsigned comparisons under their older names. */
template <class T>
constexpr auto unsigned_names() {
  constexpr const char* type = suffix<T>();
  return rows(row("setp.lo", type, [](T a, T b) { return a < b; }), row("setp.ls", type, [](T a, T b) { return a <= b; }),
              row("setp.hi", type, [](T a, T b) { return a > b; }), row("setp.hs", type, [](T a, T b) { return a >= b; }));
}

template <class T>
constexpr auto unordered(const char* type) {
  return rows(row("setp.ne", type, [](T a, T b) { return a < b || a > b; }),
              row("setp.equ", type, [](T a, T b) { return !(a < b || a > b); }),
              row("setp.neu", type, [](T a, T b) { return !(a == b); }),
              row("setp.ltu", type, [](T a, T b) { return !(a >= b); }), row("setp.leu", type, [](T a, T b) { return !(a > b); }),
              row("setp.gtu", type, [](T a, T b) { return !(a <= b); }), row("setp.geu", type, [](T a, T b) { return !(a < b); }),
              row("setp.num", type, [](T a, T b) { return a == a && b == b; }),
              row("setp.nan", type, [](T a, T b) { return a != a || b != b; }));
}

/** The unordered comparisons of flushed values. */
constexpr auto flushed_unordered() {
  constexpr const char* type = ".ftz.f32";
  return rows(row("setp.ne", type, [](float a, float b) { return flush(a) < flush(b) || flush(a) > flush(b); }),
              row("setp.equ", type, [](float a, float b) { return !(flush(a) < flush(b) || flush(a) > flush(b)); }),
              row("setp.neu", type, [](float a, float b) { return !(flush(a) == flush(b)); }),
              row("setp.ltu", type, [](float a, float b) { return !(flush(a) >= flush(b)); }),
              row("setp.leu", type, [](float a, float b) { return !(flush(a) > flush(b)); }),
              row("setp.gtu", type, [](float a, float b) { return !(flush(a) <= flush(b)); }),
              row("setp.geu", type, [](float a, float b) { return !(flush(a) < flush(b)); }),
              row("setp.num", type, [](float a, float b) { return a == a && b == b; }),
              row("setp.nan", type, [](float a, float b) { return a != a || b != b; }));
}

}  // namespace

RowList comparison_rows() {
  static constexpr auto all = integers<int16_t>() + integers<uint16_t>() + integers<int32_t>() + integers<uint32_t>() +
                              integers<int64_t>() + integers<uint64_t>() + unsigned_names<uint16_t>() +
                              unsigned_names<uint32_t>() + unsigned_names<uint64_t>() + exact<float>(".f32") +
                              unordered<float>(".f32") + exact<double>(".f64") + unordered<double>(".f64") + flushed_ordered() +
                              flushed_unordered();
  return list_of(all);
}

}  // namespace sightline::emulator::SIGHTLINE_ISA
