#pragma once

#include <cstdint>

#include "core/isa.h"

namespace sightline {

/** Kernels of Pillow's resampling, by the distance t of an input sample from an output sample's centre. */
enum class ResampleFilter {
  /** 1 for -1/2 < t <= 1/2. */
  box,
  /** 1 - |t| for |t| < 1. */
  bilinear,
  /** Cubic convolution (Keys 1981) with a = -1/2, for |t| < 2. */
  bicubic,
  /** sinc(t) sinc(t / 3) for |t| < 3. */
  lanczos,
};

/** In pixels. */
struct ImageSize {
  int width;
  int height;
};

/** The longest side that an image may have, in pixels. */
inline constexpr int max_image_side = 1 << 14;

/**
 * Resizes an 8-bit image, equal to Pillow 13's `resize(size, filter)` without a reducing gap, to the bit.
 *
 * Per axis, with s = from / to and f = max(s, 1), output sample i has its centre at c = (i + 1/2) s and is the sum of the
 * input samples j around it with the weights filter((j + 1/2 - c) / f), divided by their sum. The weights are computed in
 * float64 and rounded to 22 fractional bits, half away from zero; sums are 32-bit integers, rounded half up to 8 bits and
 * clipped. The horizontal pass comes first, but where the height loses more than twice the pixels that the width does the
 * vertical one (before its version 13 Pillow did not make this exception). An axis that keeps its size keeps its samples.
 * Every path has the same bits. Source: Pillow, src/libImaging/Resample.c.
 *
 * @param source  (from.height, from.width, channels), row-major
 * @param from    sides in [1, max_image_side]
 * @param channels 1 or 3
 * @param to      sides in [1, max_image_side]
 * @param result  (to.height, to.width, channels), row-major; does not overlap `source`
 */
void resize_image(const uint8_t* source, ImageSize from, int channels, ImageSize to, ResampleFilter filter, Isa isa,
                  uint8_t* result);

}  // namespace sightline
