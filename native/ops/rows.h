#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/mirrored.h"

namespace sightline {

/** y[i] = x[indices[i]].  @param x (rows, C) read; @param y (count, C) written; both fp32 or both bf16 */
struct GatherRowsArgs {
  ConstElements x;
  Mirrored<int32_t> indices;
  Elements y;
  int64_t count, columns;
  SIGHTLINE_FIELDS(x, indices, y, count, columns)
};

/**
 * y[indices[i]] += scale * x[i], in order of i.
 * @param x  (count, C) read
 * @param y  (rows, C) accumulated, every addition rounded to its type; both fp32 or both bf16
 */
struct ScatterAddRowsArgs {
  ConstElements x;
  Mirrored<int32_t> indices;
  Elements y;
  int64_t count, columns;
  float scale;
  SIGHTLINE_FIELDS(x, indices, y, count, columns, scale)
};

/**
 * sums[c] += sum_n x[n, c]: the gradient of a bias.
 * @param x  (N, C) read, fp32 or bf16
 * Numerics: fp32; row blocks of fixed size, added in order.
 */
struct SumRowsArgs {
  ConstElements x;
  float* sums;
  int64_t rows, columns;
  SIGHTLINE_FIELDS(x, sums, rows, columns)
};

/** y += x, element by element; both fp32 or both bf16. */
struct AddArgs {
  ConstElements x;
  Elements y;
  int64_t count;
  SIGHTLINE_FIELDS(x, y, count)
};

}  // namespace sightline
