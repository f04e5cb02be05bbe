#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/mirrored.h"

namespace sightline {

/** y[i] = x[indices[i]].  @param x (rows, C) read; @param y (count, C) written */
struct GatherRowsArgs {
  ConstElements x;
  Mirrored<int32_t> indices;
  Elements y;
  int64_t count, columns;
  SIGHTLINE_FIELDS(x, indices, y, count, columns)
};

/** y[indices[i]] += scale * x[i], in order of i.  @param x (count, C) read; @param y (rows, C) accumulated */
struct ScatterAddRowsArgs {
  ConstElements x;
  Mirrored<int32_t> indices;
  Elements y;
  int64_t count, columns;
  float scale;
  SIGHTLINE_FIELDS(x, indices, y, count, columns, scale)
};

/** sums[c] += sum_n x[n, c]: the gradient of a bias.  Numerics: row blocks of fixed size, added in order. */
struct SumRowsArgs {
  ConstElements x;
  float* sums;
  int64_t rows, columns;
  SIGHTLINE_FIELDS(x, sums, rows, columns)
};

/** y += x, element by element. */
struct AddArgs {
  ConstElements x;
  Elements y;
  int64_t count;
  SIGHTLINE_FIELDS(x, y, count)
};

}  // namespace sightline
