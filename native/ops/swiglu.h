#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"

namespace sightline {

/**
 * y[n, f] = silu(gate[n, f]) * up[n, f],  silu(z) = z / (1 + exp(-z))
 *
 * @param gate_up  (N, 2F): gate in columns [0, F), up in [F, 2F)
 * @param y        (N, F) written; both fp32 or both bf16
 * Source: Shazeer 2020, arXiv 2002.05202.
 */
struct SwigluArgs {
  ConstElements gate_up;
  Elements y;
  int64_t rows, width;
  SIGHTLINE_FIELDS(gate_up, y, rows, width)
};

/** @param dgate_up (N, 2F) written, laid out as gate_up; may be gate_up itself; all three fp32 or all bf16 */
struct SwigluBackwardArgs {
  ConstElements dy;
  ConstElements gate_up;
  Elements dgate_up;
  int64_t rows, width;
  SIGHTLINE_FIELDS(dy, gate_up, dgate_up, rows, width)
};

}  // namespace sightline
