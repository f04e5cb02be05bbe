#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/mirrored.h"

namespace sightline {

/** Most position axes of a row. */
inline constexpr int max_rope_axes = 3;

/**
 * Rotary position embedding in the half-split (NeoX) form, in place on the first `heads` heads of each row. With
 * D = head_size, a = x[k], b = x[k + D / 2] for k in [0, D / 2):
 *   x[k] = a cos phi - b sin phi,   x[k + D / 2] = b cos phi + a sin phi,   phi = position[axis(k)] * theta^(-2 j(k) / P)
 *
 * The D / 2 frequencies are dealt to the axes in sections: the first section_0 of them follow axis 0, the next section_1 axis 1,
 * the rest axis 2. One axis is plain rotary embedding.
 *   restarts false: j(k) = k, P = D, as if there were one axis (multimodal rotary embedding).
 *   restarts true: sections are of one size S, j(k) = k mod S, P = 2 S: rotary embedding of each axis in its own part of the head.
 *
 * @param x          (N) rows row_stride apart, heads * D leading columns read and written
 * @param positions  (N, axes) >= 0
 * @param axes       1 to 3
 * @param section_0, section_1  frequencies of the first two axes, >= 0; of no meaning for axes beyond `axes`
 * @param inverse    rotates by -phi: the backward pass
 * Numerics: angles, cosines and sines in double, rounded to fp32; the rotation in fp32, rounded once more where x is
 * stored as bf16.
 * Source: Su et al. 2021, arXiv 2104.09864, equation 34; Wang et al. 2024 (Qwen2-VL), arXiv 2409.12191, section 2.1.
 */
struct RopeArgs {
  Elements x;
  Mirrored<int32_t> positions;
  int64_t rows, row_stride, heads, head_size, axes, section_0, section_1;
  float theta;
  bool restarts;
  bool inverse;
  SIGHTLINE_FIELDS(x, positions, rows, row_stride, heads, head_size, axes, section_0, section_1, theta, restarts, inverse)

  /** First frequency of an axis; of `axes`, the number of all. */
  SIGHTLINE_ALWAYS_INLINE int64_t first_of(int64_t axis) const {
    if (axis == axes) return head_size / 2;
    return axis == 0 ? 0 : axis == 1 ? section_0 : section_0 + section_1;
  }
  /** P / 2: frequencies after which they begin anew. */
  SIGHTLINE_ALWAYS_INLINE int64_t period() const { return restarts ? first_of(1) : head_size / 2; }
};

}  // namespace sightline
