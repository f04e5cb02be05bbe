#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"

namespace sightline {

/**
 * y[n, c] = (x[n, c] - mean[n]) * rstd[n] * weight[c] + bias[c],  rstd[n] = 1 / sqrt(var_c(x[n]) + epsilon)
 *
 * @param x       (N, C) read
 * @param weight, bias  (C) read
 * @param y       (N, C) written, fp32 or bf16
 * @param mean, rstd    (N) written, kept for backward
 * Numerics: two passes (mean, then centred squares), fp32 in a fixed order per row.
 * Source: Ba et al. 2016, arXiv 1607.06450.
 */
struct LayerNormArgs {
  const float* x;
  const float* weight;
  const float* bias;
  Elements y;
  float* mean;
  float* rstd;
  int64_t rows, columns;
  float epsilon;
  SIGHTLINE_FIELDS(x, weight, bias, y, mean, rstd, rows, columns, epsilon)
};

/**
 * With h = (x - mean) * rstd and g = dy * weight:
 * dx += rstd * (g - mean_c(g) - h * mean_c(g * h)),  dweight += sum_n dy * h,  dbias += sum_n dy
 *
 * @param dy       (N, C) read, fp32 or bf16
 * @param dx       (N, C) accumulated
 * @param dweight, dbias  (C) accumulated; both null when the parameters are frozen
 */
struct LayerNormBackwardArgs {
  ConstElements dy;
  const float* x;
  const float* weight;
  const float* mean;
  const float* rstd;
  float* dx;
  float* dweight;
  float* dbias;
  int64_t rows, columns;
  SIGHTLINE_FIELDS(dy, x, weight, mean, rstd, dx, dweight, dbias, rows, columns)
};

}  // namespace sightline
