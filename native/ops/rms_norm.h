#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"

namespace sightline {

/**
 * y[n, c] = x[n, c] * rstd[n] * weight[c],  rstd[n] = 1 / sqrt(mean_c(x[n, c]^2) + epsilon)
 *
 * @param x       (N, C) read
 * @param weight  (C) read
 * @param y       (N, C) written, fp32 or bf16
 * @param rstd    (N) written, kept for backward
 * Numerics: fp32 in a fixed order per row.
 * Source: Zhang and Sennrich 2019, arXiv 1910.07467.
 */
struct RmsNormArgs {
  const float* x;
  const float* weight;
  Elements y;
  float* rstd;
  int64_t rows, columns;
  float epsilon;
  SIGHTLINE_FIELDS(x, weight, y, rstd, rows, columns, epsilon)
};

/**
 * With h = x * rstd and g = dy * weight:  dx += rstd * (g - h * mean_c(g * h)),  dweight += sum_n dy * h
 *
 * @param dy       (N, C) read, fp32 or bf16
 * @param dx       (N, C) accumulated
 * @param dweight  (C) accumulated; null when frozen
 */
struct RmsNormBackwardArgs {
  ConstElements dy;
  const float* x;
  const float* weight;
  const float* rstd;
  float* dx;
  float* dweight;
  int64_t rows, columns;
  SIGHTLINE_FIELDS(dy, x, weight, rstd, dx, dweight, rows, columns)
};

}  // namespace sightline
