#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"

namespace sightline {

/**
 * y = x / 2 * (1 + tanh u),  u = sqrt(2 / pi) * (x + 0.044715 x^3): the tanh form of GELU, element by element.
 *
 * @param x, y  (count), both fp32 or both bf16; y may be x
 * Source: Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2.
 */
struct GeluArgs {
  ConstElements x;
  Elements y;
  int64_t count;
  SIGHTLINE_FIELDS(x, y, count)
};

/** dx = dy * gelu'(x).  @param dx (count) written; may be dy; all three fp32 or all bf16 */
struct GeluBackwardArgs {
  ConstElements dy;
  ConstElements x;
  Elements dx;
  int64_t count;
  SIGHTLINE_FIELDS(dy, x, dx, count)
};

}  // namespace sightline
