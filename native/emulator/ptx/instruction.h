#pragma once

#include <cstdint>

namespace sightline::emulator {

/**
 * Number of a register in a warp's register file. The file is an array of slots of 32 lanes x 4 bytes: an 8-, 16- or 32-bit
 * register has one slot (upper bits zero), a 64-bit register two, lane by lane. Predicates are numbered apart; each is a mask of
 * 32 bits.
 */
using Slot = uint32_t;

/** What an operand is. */
enum class Width : uint8_t { predicate, word, doubleword };

enum class SpecialRegister : uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  lanemask_eq,
  lanemask_le,
  lanemask_lt,
  lanemask_ge,
  lanemask_gt,
  total_smem_size,
  dynamic_smem_size,
};

/**
 * Generic addresses of shared memory: offset + shared_window. Above every pointer that a process can have, so it is told from
 * those.
 */
inline constexpr uint64_t shared_window = uint64_t{1} << 56;

/** How the interpreter executes an instruction. */
enum class Action : uint8_t {
  /** A function of registers alone, one of the rows of lanes/: `row` says which. */
  compute,
  branch,
  exit,
  load,
  store,
  atomic,
  load_parameter,
  load_matrix,
  copy_async,
  commit_group,
  wait_group,
  wait_all,
  barrier_sync,
  barrier_arrive,
  warp_sync,
  shuffle,
  vote,
  active_mask,
  reduce,
  none,
};

enum class Space : uint8_t { generic, global, shared, constant };

enum class Atomic : uint8_t { add, min, max, bit_and, bit_or, bit_xor, exchange, compare_exchange, increment, decrement };

enum class Shuffle : uint8_t { up, down, butterfly, index };

enum class Vote : uint8_t { all, any, uniform, ballot };

/** An address: register (or a constant in one) plus a displacement. */
struct Address {
  Slot base = 0;
  bool wide = true;
  int64_t offset = 0;
};

/** One decoded instruction. */
struct Instruction {
  static constexpr Slot none = 0xffffffff;

  Action action = Action::none;
  /** compute: index of the row that executes it. */
  uint16_t row = 0;

  /** Predicate that guards it, or `none`. */
  Slot guard = none;
  bool guard_negated = false;

  Slot destination[4] = {};
  Slot source[10] = {};

  /** Memory: bytes per element and elements per lane. Signed elements are sign-extended to the register loaded into. */
  uint8_t bytes = 4, elements = 1;
  bool sign_extended = false;
  /** Memory: elements of at most 4 bytes are loaded into or stored from 64-bit registers. */
  bool widened = false;
  Space space = Space::generic;
  /** Memory: the address; of copy_async the destination's, `from` being the source's. */
  Address address, from;

  /** The operation within the action. */
  Atomic atomic = Atomic::add;
  Shuffle shuffle = Shuffle::up;
  Vote vote = Vote::all;
  bool is_signed = false;
  /** ldmatrix: transposed. Block barriers: with a number of threads. atomic: with a result. cp.async: with a number of source bytes. */
  bool flag = false;
  /** compute: must be executed by all 32 lanes together. */
  bool aligned = false;

  /** Target of a branch; commit groups that may stay pending at wait_group. */
  int64_t immediate = 0;

  /** Line of the PTX text, from 1, and index into Kernel::locations. */
  uint32_t line = 0, location = 0;
};

}  // namespace sightline::emulator
