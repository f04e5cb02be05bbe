#pragma once

#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "emulator/ptx/lanes/rows.h"

/**
 * Turns a function of one lane's values into a row. The files beside this one are compiled once per instruction-set path, with 32
 * lanes as plain loops that the compiler vectorises; everything in them lives in the path's namespace, and they use nothing of
 * the standard library that could be linked from here into code for weaker CPUs.
 */
namespace sightline::emulator::SIGHTLINE_ISA {
namespace {

inline constexpr int warp_lanes = 32;

/** Bit patterns of the formats that C++ has no type for. */
enum class Bf16 : uint16_t {};
enum class F16 : uint16_t {};

template <class T>
using Storage = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <class T>
T from_storage(Storage<T> bits) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) return std::bit_cast<T>(bits);
  else return static_cast<T>(bits);
}

/** Values narrower than a slot are sign- or zero-extended by their type, as PTX does for registers wider than the result. */
template <class T>
Storage<T> to_storage(T value) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) return std::bit_cast<Storage<T>>(value);
  else if constexpr (std::is_enum_v<T>) return static_cast<uint16_t>(value);
  else if constexpr (std::is_signed_v<T>) return static_cast<Storage<T>>(static_cast<std::make_signed_t<Storage<T>>>(value));
  else return value;
}

/** The lanes of one source operand. */
template <class T>
struct Source {
  const Storage<T>* lanes;
  Source(const Registers& registers, Slot slot) : lanes(registers.lanes<Storage<T>>(slot)) {}
  T operator[](int lane) const { return from_storage<T>(lanes[lane]); }
};
template <>
struct Source<bool> {
  uint32_t bits;
  Source(const Registers& registers, Slot slot) : bits(registers.predicates[slot]) {}
  bool operator[](int lane) const { return bits >> lane & 1; }
};

/** Writes the lanes of `mask`. */
template <class T>
void write_lanes(T* destination, const T* values, uint32_t mask) {
  if (mask == ~0u) {
    std::memcpy(destination, values, warp_lanes * sizeof(T));
    return;
  }
  for (int lane = 0; lane < warp_lanes; ++lane) destination[lane] = mask >> lane & 1 ? values[lane] : destination[lane];
}

inline void write_predicate(uint32_t& destination, uint32_t values, uint32_t mask) {
  destination = (destination & ~mask) | (values & mask);
}

/** Executes a captureless lambda of type Function, Result(Sources...), in every lane. */
template <class Function, class Result, class... Sources>
struct Lanewise {
  template <size_t... index>
  static void execute(const Registers& registers, const Instruction& instruction, uint32_t mask, std::index_sequence<index...>) {
    compute(registers, instruction, mask, Source<Sources>(registers, instruction.source[index])...);
  }
  template <class... Operands>
  static void compute(const Registers& registers, const Instruction& instruction, uint32_t mask, const Operands... operands) {
    if constexpr (std::is_same_v<Result, bool>) {
      uint32_t bits = 0;
      for (int lane = 0; lane < warp_lanes; ++lane) bits |= static_cast<uint32_t>(Function{}(operands[lane]...)) << lane;
      write_predicate(registers.predicates[instruction.destination[0]], bits, mask);
    } else {
      alignas(64) Storage<Result> values[warp_lanes];
      for (int lane = 0; lane < warp_lanes; ++lane) values[lane] = to_storage<Result>(Function{}(operands[lane]...));
      write_lanes(registers.lanes<Storage<Result>>(instruction.destination[0]), values, mask);
    }
  }
  static void run(const Registers& registers, const Instruction& instruction, uint32_t mask) {
    execute(registers, instruction, mask, std::make_index_sequence<sizeof...(Sources)>());
  }
};

template <class T>
constexpr Width width_of() {
  return std::is_same_v<T, bool> ? Width::predicate : sizeof(T) == 8 ? Width::doubleword : Width::word;
}

template <class Function, class Result, class... Sources>
constexpr Row row_of(Result (*)(Sources...), const char* operation, const char* type, const char* from) {
  return Row{operation,
             type,
             from,
             1,
             sizeof...(Sources),
             {width_of<Result>()},
             {width_of<Sources>()...},
             false,
             &Lanewise<Function, Result, Sources...>::run};
}

/** A row that calls `function`, a captureless lambda of one lane's source values, in every lane. */
template <class Function>
constexpr Row row(const char* operation, const char* type, const char* from, Function function) {
  return row_of<Function>(+function, operation, type, from);
}
template <class Function>
constexpr Row row(const char* operation, const char* type, Function function) {
  return row(operation, type, "", function);
}

/** PTX suffix of a C++ type. */
template <class T>
constexpr const char* suffix() {
  if constexpr (std::is_same_v<T, int8_t>) return ".s8";
  else if constexpr (std::is_same_v<T, uint8_t>) return ".u8";
  else if constexpr (std::is_same_v<T, int16_t>) return ".s16";
  else if constexpr (std::is_same_v<T, uint16_t>) return ".u16";
  else if constexpr (std::is_same_v<T, int32_t>) return ".s32";
  else if constexpr (std::is_same_v<T, uint32_t>) return ".u32";
  else if constexpr (std::is_same_v<T, int64_t>) return ".s64";
  else if constexpr (std::is_same_v<T, uint64_t>) return ".u64";
  else if constexpr (std::is_same_v<T, float>) return ".f32";
  else if constexpr (std::is_same_v<T, double>) return ".f64";
  else if constexpr (std::is_same_v<T, Bf16>) return ".bf16";
  else return ".f16";
}

/** Several rows, concatenated to one static list. */
template <size_t count>
struct Rows {
  Row rows[count];
};
template <size_t first, size_t second>
constexpr Rows<first + second> operator+(const Rows<first>& a, const Rows<second>& b) {
  Rows<first + second> all{};
  for (size_t k = 0; k < first; ++k) all.rows[k] = a.rows[k];
  for (size_t k = 0; k < second; ++k) all.rows[first + k] = b.rows[k];
  return all;
}
template <class... List>
constexpr Rows<sizeof...(List)> rows(const List&... list) {
  return {{list...}};
}
template <size_t count>
constexpr RowList list_of(const Rows<count>& rows) {
  return {rows.rows, count};
}

}  // namespace
}  // namespace sightline::emulator::SIGHTLINE_ISA
