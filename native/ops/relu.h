#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"

namespace sightline {

/** y = max(x, 0), element by element.  @param x, y (count), both fp32 or both bf16; y may be x */
struct ReluArgs {
  ConstElements x;
  Elements y;
  int64_t count;
  SIGHTLINE_FIELDS(x, y, count)
};

/**
 * dx = dy where y > 0, else 0.
 * @param y   the forward result
 * @param dx  (count) written; may be dy; all three fp32 or all bf16
 */
struct ReluBackwardArgs {
  ConstElements dy;
  ConstElements y;
  Elements dx;
  int64_t count;
  SIGHTLINE_FIELDS(dy, y, dx, count)
};

}  // namespace sightline
