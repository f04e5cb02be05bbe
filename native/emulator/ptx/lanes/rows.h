#pragma once

#include <cstddef>
#include <cstdint>

#include "emulator/ptx/instruction.h"

namespace sightline::emulator {

/** The register file of a warp. */
struct Registers {
  uint32_t* slots = nullptr;
  uint32_t* predicates = nullptr;

  /** The 32 lanes of a register of 4-byte (uint32_t) or 8-byte (uint64_t) storage. */
  template <class Storage>
  Storage* lanes(Slot slot) const {
    return reinterpret_cast<Storage*>(slots + size_t{32} * slot);
  }
};

/** Executes an instruction in the lanes of `mask`; registers of other lanes stay as they are. */
using RowFunction = void (*)(const Registers& registers, const Instruction& instruction, uint32_t mask);

/** One instruction that is a function of registers alone: its PTX name is operation, type and from, in this order. */
struct Row {
  const char* operation;
  const char* type;
  const char* from;
  uint8_t results, sources;
  Width result[4];
  Width source[10];
  /** Has to be executed by all 32 lanes together. */
  bool aligned;
  RowFunction function;
};

/** A list of rows with static storage. */
struct RowList {
  const Row* rows;
  size_t count;
};

#define SIGHTLINE_EMULATOR_ROWS(isa)  \
  namespace isa {                     \
  RowList integer_rows();             \
  RowList bit_rows();                 \
  RowList float_rows();               \
  RowList directed_rows();          \
  RowList comparison_rows();          \
  RowList conversion_rows();          \
  RowList matrix_rows();              \
  }
SIGHTLINE_EMULATOR_ROWS(portable)
SIGHTLINE_EMULATOR_ROWS(avx2)
SIGHTLINE_EMULATOR_ROWS(avx512)
#undef SIGHTLINE_EMULATOR_ROWS

}  // namespace sightline::emulator
