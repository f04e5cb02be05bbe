#pragma once

#include <vector>

#include "autograd/tape.h"
#include "core/activation.h"
#include "nn/parameter.h"

namespace sightline {

// Norms read the residual stream, which is fp32, and write operands of products; functions of operands return operands.

/**
 * LayerNorm over the columns of each row, see ops/layer_norm.h. Weight and bias are (C, 1) blocks.
 * @param type  of the result: fp32 where a residual stream begins with it, else that of operands
 */
Var layer_norm(Tape& tape, const Var& x, const ParameterSet::Block& weight, const ParameterSet::Block& bias, float epsilon, DType type);

/** RMSNorm over the columns of each row, see ops/rms_norm.h. */
Var rms_norm(Tape& tape, const Var& x, const ParameterSet::Block& weight, float epsilon);

/** GELU or a form near it, see ops/gelu.h. */
Var gelu(Tape& tape, const Var& x, Activation kind);

Var relu(Tape& tape, const Var& x);

/** (N, 2F) -> (N, F), see ops/swiglu.h. The backward pass overwrites the value of gate_up, which nothing else may read by then. */
Var swiglu(Tape& tape, const Var& gate_up);

/** Sizes of an attention layer. */
struct AttentionShape {
  int64_t heads, kv_heads, head_size;

  int64_t qkv_columns() const { return (heads + 2 * kv_heads) * head_size; }
  int64_t out_columns() const { return heads * head_size; }
  /** D^-0.5 */
  float scale() const;
};

/** Sequences packed one after the other, see ops/attention.h: (first row, length, prefix segment or -1) each. */
using Segments = Indices;

/** How the rotary frequencies follow the axes of positions, see ops/rope.h; as it stands, one axis. */
struct RopeAxes {
  int64_t count = 1, section_0 = 0, section_1 = 0;
  bool restarts = false;
};

/** Rotates queries and keys in place, see ops/rope.h. @param positions (N, axes.count) */
void rope(Tape& tape, const Var& qkv, const AttentionShape& shape, const Indices& positions, const RopeAxes& axes, float theta);

/**
 * Attention over packed segments.
 * @param first_queries  empty, or per segment the first of its rows that is a query, see ops/attention.h; what the result holds
 *                       for the rows before it is undefined, and no gradient comes from there
 */
Var attention(Tape& tape, const Var& qkv, const AttentionShape& shape, const Segments& segments, bool causal,
              const Indices& first_queries = {});

/** Every `count` consecutive rows side by side: (N * count, C) -> (N, count * C), in the same memory. */
Var join_rows(Tape& tape, const Var& x, int64_t count);

/**
 * The chosen rows. In the backward pass their gradient, times `gradient_scale`, is added to those rows of x.
 */
Var gather_rows(Tape& tape, const Var& x, const Indices& rows, float gradient_scale = 1.0f);

}  // namespace sightline
