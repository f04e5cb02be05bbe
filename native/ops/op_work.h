#pragma once

#include <array>
#include <cstdint>

#include "ops/op_list.h"

namespace sightline {

/**
 * What one call of an op has to do, counted from its arguments: the numbers that a measured time is held against.
 *
 * FLOPs are those of the op's formula. A multiply-add is two; an exponential, a logarithm, a tangent, a root and a quotient
 * are one each; comparisons and moves are none. Products of matrices and attention count their products alone, the usual
 * convention, so that figures compare with those of others; so whatever is recomputed or padded lowers the rate.
 *
 * Bytes are those that must move if every operand is read once and every result written once, an accumulated one both.
 * What an op keeps in scratch memory, or reads twice, does not count.
 */
struct OpWork {
  /** FLOPs of fp32 arithmetic. */
  int64_t flops = 0;
  /** FLOPs of products of bf16 numbers that are summed in fp32, which have a higher peak. */
  int64_t bf16_flops = 0;
  int64_t bytes = 0;

  static constexpr int64_t no_dimension = -1;
  /**
   * The sizes that the call is known by, outermost first: M, N, K of a product; rows and columns; sequences or rows, heads
   * and head size of attention; elements.
   */
  std::array<int64_t, 4> shape{no_dimension, no_dimension, no_dimension, no_dimension};
};

/** Every op by number, in the order of the list. */
enum class Op {
#define SIGHTLINE_OP(name, Args) name,
  SIGHTLINE_OPS(SIGHTLINE_OP)
#undef SIGHTLINE_OP
};

#define SIGHTLINE_ONE(name, Args) +1
inline constexpr int op_count = SIGHTLINE_OPS(SIGHTLINE_ONE);
#undef SIGHTLINE_ONE

const char* op_name(Op op);

// OpWork work_of(const Args& args) for the arguments of every op. Reads the small integer arrays among them (segments,
// lengths, ids), never the data.
#define SIGHTLINE_WORK(name, Args) OpWork work_of(const Args& args);
SIGHTLINE_OPS(SIGHTLINE_WORK)
#undef SIGHTLINE_WORK

}  // namespace sightline
