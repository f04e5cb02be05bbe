#include "autograd/tape.h"

namespace sightline {

void Tape::backward() {
  while (!steps_.empty()) {
    std::function<void()> step = std::move(steps_.back());
    steps_.pop_back();
    step();
  }
}

Var Tape::checkpoint(const Var& input, const Body& body) {
  if (!recording() || !checkpointing_) return body(*this, input);
  Tape once(device_, Mode::inference);
  const Var output = body(once, input);
  record([this, input, output, body] {
    Tape again(device_, Mode::recording);
    const Var replayed_input = std::make_shared<Variable>(input->value);
    const Var replayed = body(again, replayed_input);
    replayed->gradient = std::move(output->gradient);
    again.backward();
    add_gradient(device_, *input, replayed_input->gradient);
  });
  return output;
}

Tensor& accumulated_gradient(Device& device, Variable& variable) {
  if (!variable.gradient)
    variable.gradient = device.allocate_zeros(Purpose::activations, variable.value.rows(), variable.value.columns(),
                                             variable.value.type());
  return variable.gradient;
}

void add_gradient(Device& device, Variable& variable, const Tensor& gradient) {
  if (!variable.gradient)
    variable.gradient = gradient;
  else
    device.ops().add(device.context(), {gradient.elements(), variable.gradient.elements(), gradient.size()});
}

}  // namespace sightline
