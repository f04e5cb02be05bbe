#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/precision.h"

namespace sightline {

/**
 * Cuts images into square patches, projects each linearly and adds the position:
 *   y[i * P + p] = weight * patch(i, p) + bias + position[p],  P = (size / patch_size)^2, patches row by row
 *
 * @param pixels    (images, channels, size, size) read
 * @param weight    (C, channels * patch_size^2), a patch's pixels in (channel, row, column) order, of either type
 * @param bias      (C)
 * @param position  (P, C)
 * @param y         (images * P, C) written
 * @param precision of the projection
 * Source: Dosovitskiy et al. 2021, arXiv 2010.11929, equation 1.
 */
struct PatchEmbedArgs {
  const float* pixels;
  ConstElements weight;
  const float* bias;
  const float* position;
  float* y;
  int64_t images, channels, size, patch_size, columns;
  Precision precision;
  SIGHTLINE_FIELDS(pixels, weight, bias, position, y, images, channels, size, patch_size, columns, precision)
};

/** @param dweight, dbias, dposition accumulated; the pixels get no gradient */
struct PatchEmbedBackwardArgs {
  const float* dy;
  const float* pixels;
  float* dweight;
  float* dbias;
  float* dposition;
  int64_t images, channels, size, patch_size, columns;
  Precision precision;
  SIGHTLINE_FIELDS(dy, pixels, dweight, dbias, dposition, images, channels, size, patch_size, columns, precision)
};

}  // namespace sightline
