#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/mirrored.h"

namespace sightline {

/**
 * Rotary position embedding in the half-split (NeoX) form, in place on the first `heads` heads of each row. With
 * D = head_size, a = x[k], b = x[k + D / 2], phi = position * theta^(-2k / D) for k in [0, D / 2):
 *   x[k] = a cos phi - b sin phi,   x[k + D / 2] = b cos phi + a sin phi
 *
 * @param x          (N) rows row_stride apart, heads * D leading columns read and written
 * @param positions  (N) >= 0
 * @param inverse    rotates by -phi: the backward pass
 * Numerics: angles, cosines and sines in double, rounded to fp32; the rotation in fp32, rounded once more where x is
 * stored as bf16.
 * Source: Su et al. 2021, arXiv 2104.09864, equation 34.
 */
struct RopeArgs {
  Elements x;
  Mirrored<int32_t> positions;
  int64_t rows, row_stride, heads, head_size;
  float theta;
  bool inverse;
  SIGHTLINE_FIELDS(x, positions, rows, row_stride, heads, head_size, theta, inverse)
};

}  // namespace sightline
