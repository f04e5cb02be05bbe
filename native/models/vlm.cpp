#include "models/vlm.h"

#include <cmath>

namespace sightline {
namespace {

const ModelSpec& validated(const ModelSpec& spec) {
  validate(spec);
  return spec;
}

/** Keeps the residual stream at unit size over all blocks (Radford et al. 2019, section 2.3). */
float residual_deviation(const ModelSpec& spec) {
  return 1.0f / std::sqrt(2.0f * static_cast<float>(spec.vision.layers + spec.decoder.layers));
}

Linear projector_linear(ParameterSet& parameters, const char* name, int64_t in, int64_t out) {
  return Linear(parameters, {{name, out}}, {Component::projector, in, true, fan_in_deviation(in)});
}

}  // namespace

Vlm::Vlm(Device& device, const ModelSpec& spec, const ParameterSet::Options& options)
    : spec_(validated(spec)),
      parameters_(device, options),
      vision_(parameters_, spec.vision, residual_deviation(spec)),
      projector_up_(projector_linear(parameters_, "projector.up", spec.vision.width, spec.projector.hidden_width)),
      projector_down_(projector_linear(parameters_, "projector.down", spec.projector.hidden_width, spec.decoder.width)),
      decoder_(parameters_, spec.decoder, residual_deviation(spec)),
      value_head_(parameters_, spec.value_head, spec.decoder.width) {}

Var Vlm::project(Tape& tape, const Var& seen, const RowKeys& keys) {
  return projector_down_.forward(tape, gelu(tape, projector_up_.forward(tape, seen, nullptr, keys), Activation::gelu_tanh), nullptr, keys);
}

}  // namespace sightline
