#include "models/value_head.h"

#include "core/error.h"

namespace sightline {

ValueHead::ValueHead(ParameterSet& parameters, const ValueHeadSpec& spec, int64_t in) {
  for (size_t i = 0; i <= spec.hidden_widths.size(); ++i) {
    const bool last = i == spec.hidden_widths.size();
    const int64_t out = last ? 1 : spec.hidden_widths[i];
    const float deviation = last ? 0.0f : fan_in_deviation(in);
    layers_.emplace_back(parameters, std::vector<Linear::Part>{{concat("value_head.layers.", i), out}},
                         Linear::Options{Component::value_head, in, true, deviation, last});
    in = out;
  }
}

Var ValueHead::forward(Tape& tape, const Var& input, const RowKeys& keys) {
  Var x = input;
  for (size_t i = 0; i < layers_.size(); ++i) {
    x = layers_[i].forward(tape, x, nullptr, keys);
    if (i + 1 < layers_.size()) x = relu(tape, x);
  }
  return x;
}

}  // namespace sightline
