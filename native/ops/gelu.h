#pragma once

#include <cstdint>

#include "core/activation.h"
#include "core/elements.h"
#include "core/fields.h"

namespace sightline {

/**
 * y = f(x) element by element, f as `kind` says.
 *
 * @param x, y  (count), both fp32 or both bf16; y may be x
 * Numerics: fp32. `gelu` errs by at most 8 units in the last place of the result, in the negative tail as well, until Phi leaves
 * the range of normal fp32 numbers near x = -13.
 */
struct GeluArgs {
  ConstElements x;
  Elements y;
  int64_t count;
  Activation kind;
  SIGHTLINE_FIELDS(x, y, count, kind)
};

/** dx = dy * f'(x).  @param dx (count) written; may be dy; all three fp32 or all bf16 */
struct GeluBackwardArgs {
  ConstElements dy;
  ConstElements x;
  Elements dx;
  int64_t count;
  Activation kind;
  SIGHTLINE_FIELDS(dy, x, dx, count, kind)
};

}  // namespace sightline
