#pragma once

#include <cstdint>

#include "core/fields.h"
#include "core/mirrored.h"

namespace sightline {

/**
 * *total = sum over all tensors and their elements of x^2, in double: blocks of fixed size of each tensor, added up in one fixed
 * order, which depends on the counts alone. One call takes any number of tensors.
 *
 * @param x       (tensors) arrays
 * @param counts  (tensors) elements of each
 */
struct SumSquaresArgs {
  Mirrored<const float*> x;
  Mirrored<int64_t> counts;
  double* total;
  int64_t tensors;
  SIGHTLINE_FIELDS(x, counts, total, tensors)
};

/**
 * One AdamW step on the parameters of one group, clipped by the global norm of its gradient. With norm = sqrt(squares[group]),
 * s = max_norm / norm in double, rounded to fp32, where norm > max_norm, else 1, and g = s * gradient:
 *   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
 *   parameter -= learning_rate * (m / bias_correction1 / (sqrt(v / bias_correction2) + epsilon) + weight_decay * parameter)
 *   gradient = 0
 * All in fp32. Where a sum of squares is not finite, of whichever group, nothing is written: so that one call can follow the other
 * without the host's having seen the sums, and still either all groups step or none.
 *
 * @param parameters, first_moments, second_moments  (tensors) arrays, updated
 * @param gradients          (tensors) arrays, read and cleared
 * @param counts             (tensors) elements of each
 * @param bias_corrections1, bias_corrections2  (tensors) 1 - beta^t at step t >= 1 of each
 * @param squares            (groups) sum of squares of the gradients of each group that steps together, see SumSquaresArgs
 * @param group              this one's, in [0, groups)
 * @param max_norm           > 0; infinite: no clipping
 * Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1; Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2.
 */
struct AdamwArgs {
  Mirrored<float*> parameters, gradients, first_moments, second_moments;
  Mirrored<int64_t> counts;
  Mirrored<float> bias_corrections1, bias_corrections2;
  const double* squares;
  int64_t tensors, groups, group;
  float max_norm, learning_rate, beta1, beta2, epsilon, weight_decay;
  SIGHTLINE_FIELDS(parameters, gradients, first_moments, second_moments, counts, bias_corrections1, bias_corrections2, squares,
                   tensors, groups, group, max_norm, learning_rate, beta1, beta2, epsilon, weight_decay)
};

}  // namespace sightline
