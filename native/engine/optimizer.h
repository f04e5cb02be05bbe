#pragma once

#include <optional>
#include <vector>

#include "nn/parameter.h"

namespace sightline {

/** Parameters that share settings and are clipped together. */
struct ParameterGroup {
  std::vector<Component> components;
  float learning_rate;
  /** Largest global norm of the group's gradient; none: no clipping. */
  std::optional<float> max_gradient_norm;
  float weight_decay;
};

struct OptimizerStep {
  std::vector<ParameterGroup> groups;
  float beta1, beta2, epsilon;
};

/**
 * One AdamW step (see ops/adamw.h) over the accumulated gradients, which it clears.
 *
 * @return the norm of each group's gradient before clipping
 * @throws invalid_argument for a group without trainable parameters, a component in two groups, or a gradient that is not
 *   finite; then nothing has changed
 */
std::vector<double> optimizer_step(Device& device, ParameterSet& parameters, const OptimizerStep& step);

}  // namespace sightline
