#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/precision.h"
#include "ops/rows.h"

namespace sightline {

/**
 * Cuts images into square patches, projects each linearly and adds the position:
 *   y[i * P + p] = weight * patch(i, p) + bias + position[p],  P = (size / patch_size)^2, patches row by row
 * A class token takes the first row of every image: y[i * (P + 1)] = class_token + position[0], and the patches follow with
 * position[1 + p].
 *
 * @param pixels    (images, channels, size, size) read
 * @param weight    (C, channels * patch_size^2), a patch's pixels in (channel, row, column) order, of either type
 * @param bias      (C); null: none
 * @param class_token  (C); null: none
 * @param position  (P, C), or with a class token (P + 1, C)
 * @param y         (images * P, C), or with a class token (images * (P + 1), C), written
 * @param precision of the projection
 * Source: Dosovitskiy et al. 2021, arXiv 2010.11929, equation 1.
 */
struct PatchEmbedArgs {
  const float* pixels;
  ConstElements weight;
  const float* bias;
  const float* class_token;
  const float* position;
  float* y;
  int64_t images, channels, size, patch_size, columns;
  Precision precision;
  SIGHTLINE_FIELDS(pixels, weight, bias, class_token, position, y, images, channels, size, patch_size, columns, precision)

  /** Of y: patches, behind one row for the class token where there is one. */
  SIGHTLINE_ALWAYS_INLINE int64_t rows_per_image() const {
    return (size / patch_size) * (size / patch_size) + (class_token ? 1 : 0);
  }
};

/** @param dweight, dbias, dclass_token, dposition  accumulated; dbias and dclass_token null where there is none. The pixels get no gradient. */
struct PatchEmbedBackwardArgs {
  const float* dy;
  const float* pixels;
  float* dweight;
  float* dbias;
  float* dclass_token;
  float* dposition;
  int64_t images, channels, size, patch_size, columns;
  Precision precision;
  SIGHTLINE_FIELDS(dy, pixels, dweight, dbias, dclass_token, dposition, images, channels, size, patch_size, columns, precision)

  /** As of PatchEmbedArgs. */
  SIGHTLINE_ALWAYS_INLINE int64_t rows_per_image() const {
    return (size / patch_size) * (size / patch_size) + (dclass_token ? 1 : 0);
  }
};

/**
 * The sums over rows of a backward pass, one after the other; on every device the same.
 * @param sum_rows  the device's op
 */
template <class SumRows>
void sum_patch_embed_gradients(const SumRows& sum_rows, const PatchEmbedBackwardArgs& a) {
  const int64_t per_image = a.rows_per_image();
  // Over (image, row * columns), the gradient of the positions is the sum of the rows as well.
  sum_rows({.x = a.dy, .sums = a.dposition, .rows = a.images, .columns = per_image * a.columns});
  if (!a.dclass_token) {
    if (a.dbias) sum_rows({.x = a.dy, .sums = a.dbias, .rows = a.images * per_image, .columns = a.columns});
    return;
  }
  for (int64_t image = 0; image < a.images; ++image) {
    const float* first = a.dy + image * per_image * a.columns;
    sum_rows({.x = first, .sums = a.dclass_token, .rows = 1, .columns = a.columns});
    if (a.dbias) sum_rows({.x = first + a.columns, .sums = a.dbias, .rows = per_image - 1, .columns = a.columns});
  }
}

}  // namespace sightline
