#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/mirrored.h"

namespace sightline {

/**
 * Token embedding with image features spliced in:
 *   y[n] = scale * table[ids[n]]       where ids[n] >= 0
 *   y[n] = features[-1 - ids[n]]       where ids[n] < 0
 *
 * @param table     (V, C) read, fp32 or bf16
 * @param features  (rows, C) read, fp32 or bf16; may be null if no id is negative
 * @param ids       (N); checked by the caller
 * @param y         (N, C) written
 */
struct EmbedArgs {
  ConstElements table;
  ConstElements features;
  Mirrored<int32_t> ids;
  float* y;
  int64_t rows, columns;
  float scale;
  SIGHTLINE_FIELDS(table, features, ids, y, rows, columns, scale)
};

/**
 * dtable[ids[n]] += scale * dy[n] for tokens, dfeatures[-1 - ids[n]] += dy[n] for image rows, in order of n.
 *
 * @param dtable, dfeatures  accumulated; null where not wanted; dfeatures fp32 or bf16
 * Numerics: every addition is rounded to the type of what is added to.
 */
struct EmbedBackwardArgs {
  const float* dy;
  Mirrored<int32_t> ids;
  float* dtable;
  Elements dfeatures;
  int64_t rows, columns;
  float scale;
  SIGHTLINE_FIELDS(dy, ids, dtable, dfeatures, rows, columns, scale)
};

}  // namespace sightline
