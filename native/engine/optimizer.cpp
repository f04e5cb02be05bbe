#include "engine/optimizer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "engine/input_block.h"

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

/** Whether one of the groups has the component. */
bool steps(const OptimizerStep& step, Component component) {
  return std::ranges::any_of(step.groups, [component](const ParameterGroup& group) {
    return std::ranges::find(group.components, component) != group.components.end();
  });
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

/** What the ops need to know of a group's parameters, as arrays that they read. */
struct GroupTensors {
  MirroredArray<float*> values, gradients, first_moments, second_moments;
  MirroredArray<const float*> read_gradients;
  MirroredArray<int64_t> counts;
  MirroredArray<float> bias_corrections1, bias_corrections2;

  static size_t bytes(int64_t tensors) {
    return 5 * InputBlock::bytes_of<float*>(tensors) + InputBlock::bytes_of<int64_t>(tensors) + 2 * InputBlock::bytes_of<float>(tensors);
  }
};

/** 1 - beta^t, rounded to fp32. */
float bias_correction(float beta, int64_t t) {
  return static_cast<float>(1.0 - std::pow(static_cast<double>(beta), static_cast<double>(t)));
}

GroupTensors put(InputBlock& inputs, const std::vector<Parameter*>& group, const OptimizerStep& step) {
  std::vector<float*> values, gradients, first_moments, second_moments;
  std::vector<int64_t> counts;
  std::vector<float> corrections1, corrections2;
  for (const Parameter* parameter : group) {
    values.push_back(parameter->value.data());
    gradients.push_back(parameter->gradient.data());
    first_moments.push_back(parameter->first_moment.data());
    second_moments.push_back(parameter->second_moment.data());
    counts.push_back(parameter->value.size());
    corrections1.push_back(bias_correction(step.beta1, parameter->steps + 1));
    corrections2.push_back(bias_correction(step.beta2, parameter->steps + 1));
  }
  std::vector<const float*> read_gradients(gradients.begin(), gradients.end());
  return {inputs.put(std::move(values)),
          inputs.put(std::move(gradients)),
          inputs.put(std::move(first_moments)),
          inputs.put(std::move(second_moments)),
          inputs.put(std::move(read_gradients)),
          inputs.put(std::move(counts)),
          inputs.put(std::move(corrections1)),
          inputs.put(std::move(corrections2))};
}

}  // namespace

std::vector<double> optimizer_step(Device& device, ParameterSet& parameters, const OptimizerStep& step) {
  check(step);
  const size_t count = step.groups.size();
  std::vector<std::vector<Parameter*>> groups;
  size_t input_bytes = 0;
  for (size_t i = 0; i < count; ++i) {
    groups.push_back(members(parameters, step.groups[i], i));
    input_bytes += GroupTensors::bytes(static_cast<int64_t>(groups.back().size()));
  }
  InputBlock inputs(device, input_bytes);
  std::vector<GroupTensors> tensors;
  for (const std::vector<Parameter*>& group : groups) tensors.push_back(put(inputs, group, step));
  inputs.upload();

  // Nothing waits for the sums before the parameters are updated: where one of them is not finite, the ops leave all as it is.
  const auto sums = device.arena().allocate(count * sizeof(double), Purpose::workspace);
  auto* squares = static_cast<double*>(sums->data());
  for (size_t i = 0; i < count; ++i)
    device.ops().sum_squares(device.context(), {tensors[i].read_gradients, tensors[i].counts, squares + i, tensors[i].counts.size()});
  for (size_t i = 0; i < count; ++i) {
    const ParameterGroup& group = step.groups[i];
    const GroupTensors& t = tensors[i];
    device.ops().adamw(device.context(),
                       {t.values, t.gradients, t.first_moments, t.second_moments, t.counts, t.bias_corrections1, t.bias_corrections2,
                        squares, t.counts.size(), static_cast<int64_t>(count), static_cast<int64_t>(i),
                        group.max_gradient_norm.value_or(std::numeric_limits<float>::infinity()), group.learning_rate, step.beta1,
                        step.beta2, step.epsilon, group.weight_decay});
  }
  std::vector<double> norms(count);
  device.download(norms.data(), squares, count * sizeof(double));
  for (size_t i = 0; i < count; ++i) {
    require(std::isfinite(norms[i]), "groups[", i, "]: the gradient is not finite; the weights were left as they are");
    norms[i] = std::sqrt(norms[i]);
  }
  for (const std::vector<Parameter*>& group : groups)
    for (Parameter* parameter : group) ++parameter->steps;
  for (const Parameter& parameter : parameters.all())
    if (parameter.trainable() && !steps(step, parameter.component)) device.fill_zero(parameter.gradient);
  parameters.stepped();
  return norms;
}

}  // namespace sightline
