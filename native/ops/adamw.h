#pragma once

#include <cstdint>

#include "core/fields.h"

namespace sightline {

/** *total = sum_i x[i]^2 in double, by blocks of fixed size added in order. */
struct SumSquaresArgs {
  const float* x;
  double* total;
  int64_t count;
  SIGHTLINE_FIELDS(x, total, count)
};

/**
 * One AdamW step on one parameter, with g = gradient_scale * gradient:
 *   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
 *   parameter -= learning_rate * (m / bias_correction1 / (sqrt(v / bias_correction2) + epsilon) + weight_decay * parameter)
 *
 * @param parameter, first_moment, second_moment  (count) updated
 * @param gradient_scale     the factor of global-norm clipping
 * @param bias_correction1, bias_correction2  1 - beta^t at step t >= 1
 * Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1; Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2.
 */
struct AdamwArgs {
  float* parameter;
  const float* gradient;
  float* first_moment;
  float* second_moment;
  int64_t count;
  float learning_rate, beta1, beta2, epsilon, weight_decay, gradient_scale, bias_correction1, bias_correction2;
  SIGHTLINE_FIELDS(parameter, gradient, first_moment, second_moment, count, learning_rate, beta1, beta2, epsilon,
                   weight_decay, gradient_scale, bias_correction1, bias_correction2)
};

}  // namespace sightline
