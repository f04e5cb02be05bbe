#include "engine/optimizer.h"

#include <cmath>

#include "core/error.h"

namespace sightline {
namespace {

std::vector<Parameter*> members(ParameterSet& parameters, const ParameterGroup& group, size_t index) {
  std::vector<Parameter*> members;
  for (Parameter& parameter : parameters.all())
    for (const Component component : group.components)
      if (parameter.component == component && parameter.trainable()) members.push_back(&parameter);
  require(!members.empty(), "groups[", index, "].components: expected components with trainable parameters, received only "
          "frozen ones; leave the group out or make a component trainable when the engine is created");
  return members;
}

void check(const OptimizerStep& step) {
  bool taken[component_count] = {};
  for (size_t i = 0; i < step.groups.size(); ++i) {
    const ParameterGroup& group = step.groups[i];
    for (const Component component : group.components) {
      bool& seen = taken[static_cast<int>(component)];
      require(!seen, "groups[", i, "].components: \"", component_name(component), "\" is named twice");
      seen = true;
    }
    require(group.learning_rate >= 0.0f && std::isfinite(group.learning_rate), "groups[", i,
            "].learningRate: expected a finite number >= 0, received ", group.learning_rate);
    require(!group.max_gradient_norm || *group.max_gradient_norm > 0.0f, "groups[", i,
            "].maxGradientNorm: expected a number > 0, received ", group.max_gradient_norm.value_or(0.0f));
    require(group.weight_decay >= 0.0f && std::isfinite(group.weight_decay), "groups[", i,
            "].weightDecay: expected a finite number >= 0, received ", group.weight_decay);
  }
  for (const float beta : {step.beta1, step.beta2})
    require(beta >= 0.0f && beta < 1.0f, "betas: expected numbers in [0, 1), received ", beta);
  require(step.epsilon > 0.0f, "epsilon: expected a number > 0, received ", step.epsilon);
}

}  // namespace

std::vector<double> optimizer_step(Device& device, ParameterSet& parameters, const OptimizerStep& step) {
  check(step);
  std::vector<std::vector<Parameter*>> groups;
  std::vector<double> norms;
  for (size_t i = 0; i < step.groups.size(); ++i) {
    groups.push_back(members(parameters, step.groups[i], i));
    const std::vector<Parameter*>& group = groups.back();
    // Fetched once for the group: on a GPU, fetching waits.
    const auto sums = device.arena().allocate(group.size() * sizeof(double), Purpose::workspace);
    for (size_t j = 0; j < group.size(); ++j)
      device.ops().sum_squares(device.context(), {group[j]->gradient.data(), static_cast<double*>(sums->data()) + j,
                                                  group[j]->gradient.size()});
    std::vector<double> squares(group.size());
    device.download(squares.data(), sums->data(), squares.size() * sizeof(double));
    double total = 0.0;
    for (const double square : squares) total += square;
    require(std::isfinite(total), "groups[", i, "]: the gradient is not finite; the weights were left as they are");
    norms.push_back(std::sqrt(total));
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    const ParameterGroup& group = step.groups[i];
    const bool clipped = group.max_gradient_norm && norms[i] > static_cast<double>(*group.max_gradient_norm);
    const double scale = clipped ? static_cast<double>(*group.max_gradient_norm) / norms[i] : 1.0;
    for (Parameter* parameter : groups[i]) {
      const auto t = static_cast<double>(++parameter->steps);
      device.ops().adamw(device.context(),
                         {parameter->value.data(), parameter->gradient.data(), parameter->first_moment.data(),
                          parameter->second_moment.data(), parameter->value.size(), group.learning_rate, step.beta1,
                          step.beta2, step.epsilon, group.weight_decay, static_cast<float>(scale),
                          static_cast<float>(1.0 - std::pow(static_cast<double>(step.beta1), t)),
                          static_cast<float>(1.0 - std::pow(static_cast<double>(step.beta2), t))});
    }
  }
  parameters.clear_gradients();
  parameters.stepped();
  return norms;
}

}  // namespace sightline
