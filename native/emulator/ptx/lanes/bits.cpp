#include "emulator/ptx/lanes/lanewise.h"

// Moves, logic, shifts, bit fields, selections, and logic of predicates.
namespace sightline::emulator::SIGHTLINE_ISA {
namespace {

/** Any function of three bits: bit 4a + 2b + c of `table` is its value at (a, b, c). */
uint32_t three_input_logic(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
  uint32_t result = 0;
  for (uint32_t entry = 0; entry < 8; ++entry) {
    const uint32_t term = (entry & 4 ? a : ~a) & (entry & 2 ? b : ~b) & (entry & 1 ? c : ~c);
    result |= term & (0u - (table >> entry & 1));
  }
  return result;
}

/** Each nibble of `selector` picks one of the eight bytes of b:a; its top bit replicates that byte's sign instead. */
uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = a | static_cast<uint64_t>(b) << 32;
  uint32_t result = 0;
  for (int k = 0; k < 4; ++k) {
    const uint32_t nibble = selector >> 4 * k & 15;
    uint32_t byte = static_cast<uint32_t>(bytes >> 8 * (nibble & 7)) & 255;
    if (nibble & 8) byte = byte & 128 ? 255 : 0;
    result |= byte << 8 * k;
  }
  return result;
}

/** Bits [position, position + length) of a, position and length modulo 256, sign-extended for signed types. */
template <class T>
T extract_bits(T a, uint32_t position_word, uint32_t length_word) {
  constexpr uint32_t bits = 8 * sizeof(T);
  const uint32_t position = position_word & 255, length = length_word & 255;
  using U = std::make_unsigned_t<T>;
  if (length == 0) return 0;
  const uint32_t last = position + length - 1 < bits - 1 ? position + length - 1 : bits - 1;
  const U sign = std::is_signed_v<T> ? static_cast<U>(0) - (static_cast<U>(a) >> last & 1) : 0;
  if (position >= bits) return static_cast<T>(sign);
  const U field = static_cast<U>(a) >> position;
  const uint32_t taken = length < bits - position ? length : bits - position;
  const U mask = taken >= bits ? ~U{0} : (U{1} << taken) - 1;
  return static_cast<T>((field & mask) | (sign & ~mask));
}

/** b with its bits [position, position + length) replaced by the lowest of a. */
template <class T>
T insert_bits(T a, T b, uint32_t position_word, uint32_t length_word) {
  constexpr uint32_t bits = 8 * sizeof(T);
  const uint32_t position = position_word & 255, length = length_word & 255;
  if (position >= bits || length == 0) return b;
  const T mask = static_cast<T>((length >= bits ? ~T{0} : (T{1} << length) - 1) << position);
  return static_cast<T>((b & ~mask) | (a << position & mask));
}

/** Position of the most significant bit that differs from the sign (signed) or is set (unsigned); all ones if none. */
template <class T>
uint32_t highest_bit(T a) {
  using U = std::make_unsigned_t<T>;
  const U bits = std::is_signed_v<T> && a < 0 ? ~static_cast<U>(a) : static_cast<U>(a);
  if (bits == 0) return ~0u;
  return static_cast<uint32_t>(8 * sizeof(T) - 1) - static_cast<uint32_t>(std::countl_zero(bits));
}

uint32_t reverse_bits(uint32_t a) {
  a = (a >> 1 & 0x55555555u) | (a & 0x55555555u) << 1;
  a = (a >> 2 & 0x33333333u) | (a & 0x33333333u) << 2;
  a = (a >> 4 & 0x0f0f0f0fu) | (a & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(a);
}

/** Rows of one width; `T` is unsigned and `type` its untyped suffix. */
template <class T>
constexpr auto logic(const char* type) {
  return rows(row("and", type, [](T a, T b) { return static_cast<T>(a & b); }),
              row("or", type, [](T a, T b) { return static_cast<T>(a | b); }),
              row("xor", type, [](T a, T b) { return static_cast<T>(a ^ b); }),
              row("not", type, [](T a) { return static_cast<T>(~a); }),
              row("cnot", type, [](T a) { return static_cast<T>(a == 0); }),
              row("shl", type, [](T a, uint32_t by) { return by >= 8 * sizeof(T) ? T{0} : static_cast<T>(a << by); }),
              row("shr", type, [](T a, uint32_t by) { return by >= 8 * sizeof(T) ? T{0} : static_cast<T>(a >> by); }));
}

/** Rows of one type: shr of signed types brings in the sign; amounts above the width count as the width. */
template <class T>
constexpr auto typed() {
  constexpr const char* type = suffix<T>();
  return rows(row("shr", type, [](T a, uint32_t by) {
    constexpr uint32_t bits = 8 * sizeof(T);
    if constexpr (std::is_signed_v<T>) return static_cast<T>(a >> (by < bits - 1 ? by : bits - 1));
    else return by >= bits ? T{0} : static_cast<T>(a >> by);
  }));
}

/** mov, selp and slct, which take any type of a width. */
template <class T>
constexpr auto moves(const char* type) {
  return rows(row("mov", type, [](T a) { return a; }), row("selp", type, [](T a, T b, bool p) { return p ? a : b; }),
              row("slct", type, ".s32", [](T a, T b, int32_t c) { return c >= 0 ? a : b; }),
              row("slct", type, ".f32", [](T a, T b, float c) { return c >= 0.0f ? a : b; }));
}

template <class T>
constexpr auto fields() {
  constexpr const char* type = suffix<T>();
  return rows(row("bfe", type, [](T a, uint32_t position, uint32_t length) { return extract_bits<T>(a, position, length); }),
              row("bfind", type, [](T a) { return highest_bit<T>(a); }), row("bfind.shiftamt", type, [](T a) {
                const uint32_t bit = highest_bit<T>(a);
                return bit == ~0u ? bit : static_cast<uint32_t>(8 * sizeof(T) - 1) - bit;
              }));
}

/** Executes a captureless lambda of two whole predicates, as masks. */
template <class Function>
void combine(const Registers& registers, const Instruction& instruction, uint32_t mask) {
  const uint32_t* predicates = registers.predicates;
  write_predicate(registers.predicates[instruction.destination[0]],
                  Function{}(predicates[instruction.source[0]], predicates[instruction.source[1]]), mask);
}

template <class Function>
constexpr Row predicate_row(const char* operation, uint8_t sources, Function) {
  return Row{operation, ".pred",           "", 1, sources, {Width::predicate}, {Width::predicate, Width::predicate},
             false,     &combine<Function>};
}

/** Cuts a register into `parts` smaller ones, lowest bits first. */
template <class Whole, int parts>
void unpack(const Registers& registers, const Instruction& instruction, uint32_t mask) {
  constexpr int bits = 8 * sizeof(Whole) / parts;
  alignas(64) Storage<Whole> whole[warp_lanes];
  std::memcpy(whole, registers.lanes<Storage<Whole>>(instruction.source[0]), sizeof whole);
  for (int part = 0; part < parts; ++part) {
    alignas(64) uint32_t values[warp_lanes];
    for (int lane = 0; lane < warp_lanes; ++lane)
      values[lane] = static_cast<uint32_t>(whole[lane] >> bits * part) & (bits == 32 ? ~0u : (1u << bits % 32) - 1);
    write_lanes(registers.lanes<uint32_t>(instruction.destination[part]), values, mask);
  }
}

template <class Whole, int parts>
constexpr Row unpack_row(const char* operation, const char* type) {
  return Row{operation,
             type,
             "",
             parts,
             1,
             {Width::word, Width::word, Width::word, Width::word},
             {width_of<Whole>()},
             false,
             &unpack<Whole, parts>};
}

}  // namespace

RowList bit_rows() {
  static constexpr auto words = logic<uint16_t>(".b16") + logic<uint32_t>(".b32") + logic<uint64_t>(".b64") + typed<int16_t>() +
                                typed<uint16_t>() + typed<int32_t>() + typed<uint32_t>() + typed<int64_t>() + typed<uint64_t>() +
                                moves<uint16_t>(".b16") + moves<uint32_t>(".b32") + moves<uint64_t>(".b64") + fields<int32_t>() +
                                fields<uint32_t>() + fields<int64_t>() + fields<uint64_t>();
  static constexpr auto others = rows(
      row("bfi", ".b32",
          [](uint32_t a, uint32_t b, uint32_t position, uint32_t length) {
            return insert_bits<uint32_t>(a, b, position, length);
          }),
      row("bfi", ".b64",
          [](uint64_t a, uint64_t b, uint32_t position, uint32_t length) {
            return insert_bits<uint64_t>(a, b, position, length);
          }),
      row("lop3", ".b32", [](uint32_t a, uint32_t b, uint32_t c, uint32_t table) { return three_input_logic(a, b, c, table); }),
      row("prmt", ".b32", [](uint32_t a, uint32_t b, uint32_t selector) { return permute_bytes(a, b, selector); }),
      row("shf.l.wrap", ".b32",
          [](uint32_t a, uint32_t b, uint32_t by) { return by & 31 ? b << (by & 31) | a >> (32 - (by & 31)) : b; }),
      row("shf.r.wrap", ".b32",
          [](uint32_t a, uint32_t b, uint32_t by) { return by & 31 ? a >> (by & 31) | b << (32 - (by & 31)) : a; }),
      row("shf.l.clamp", ".b32",
          [](uint32_t a, uint32_t b, uint32_t by) { return by == 0   ? b
                                                           : by > 31 ? a
                                                                     : b << by | a >> (32 - by); }),
      row("shf.r.clamp", ".b32",
          [](uint32_t a, uint32_t b, uint32_t by) { return by == 0   ? a
                                                           : by > 31 ? b
                                                                     : a >> by | b << (32 - by); }),
      row("popc", ".b32", [](uint32_t a) { return static_cast<uint32_t>(std::popcount(a)); }),
      row("popc", ".b64", [](uint64_t a) { return static_cast<uint32_t>(std::popcount(a)); }),
      row("clz", ".b32", [](uint32_t a) { return static_cast<uint32_t>(std::countl_zero(a)); }),
      row("clz", ".b64", [](uint64_t a) { return static_cast<uint32_t>(std::countl_zero(a)); }),
      row("brev", ".b32", [](uint32_t a) { return reverse_bits(a); }),
      row("brev", ".b64",
          [](uint64_t a) {
            return static_cast<uint64_t>(reverse_bits(static_cast<uint32_t>(a))) << 32 |
                   reverse_bits(static_cast<uint32_t>(a >> 32));
          }),
      row("pack", ".b64", [](uint32_t low, uint32_t high) { return low | static_cast<uint64_t>(high) << 32; }),
      row("pack", ".b32", [](uint16_t low, uint16_t high) { return low | static_cast<uint32_t>(high) << 16; }),
      row("pack4", ".b64",
          [](uint16_t a, uint16_t b, uint16_t c, uint16_t d) {
            return a | static_cast<uint64_t>(b) << 16 | static_cast<uint64_t>(c) << 32 | static_cast<uint64_t>(d) << 48;
          }),
      row("pack", ".b16", [](uint8_t a, uint8_t b) { return static_cast<uint16_t>(a | b << 8); }),
      row("pack4", ".b32",
          [](uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
            return a | static_cast<uint32_t>(b) << 8 | static_cast<uint32_t>(c) << 16 | static_cast<uint32_t>(d) << 24;
          }),
      unpack_row<uint64_t, 2>("unpack", ".b64"), unpack_row<uint32_t, 2>("unpack", ".b32"),
      unpack_row<uint64_t, 4>("unpack4", ".b64"), unpack_row<uint16_t, 2>("unpack", ".b16"),
      unpack_row<uint32_t, 4>("unpack4", ".b32"), predicate_row("and", 2, [](uint32_t a, uint32_t b) { return a & b; }),
      predicate_row("or", 2, [](uint32_t a, uint32_t b) { return a | b; }),
      predicate_row("xor", 2, [](uint32_t a, uint32_t b) { return a ^ b; }),
      predicate_row("not", 1, [](uint32_t a, uint32_t) { return ~a; }),
      predicate_row("mov", 1, [](uint32_t a, uint32_t) { return a; }));
  static constexpr auto all = words + others;
  return list_of(all);
}

}  // namespace sightline::emulator::SIGHTLINE_ISA
