#include "models/projector.h"

namespace sightline {
namespace {

constexpr Component component = Component::projector;

}  // namespace

Projector::Projector(ParameterSet& parameters, const ProjectorSpec& spec, int64_t vision_width, int64_t decoder_width) : spec_(spec) {
  const auto vector = [&](const char* name, int64_t width, const Initializer& initializer) {
    const ParameterSet::Block block = parameters.allocate(component, width, 1);
    parameters.add(name, {width}, component, block, 0, initializer);
    return block;
  };
  if (spec.norm_epsilon) norm_ = vector("projector.norm.weight", vision_width, Initializer::constant(1.0f));
  int64_t in = spec.merged() * vision_width;
  if (spec.hidden_width) {
    up_.emplace(parameters, std::vector<Linear::Part>{{"projector.up", *spec.hidden_width}},
                Linear::Options{component, in, spec.bias, fan_in_deviation(in)});
    in = *spec.hidden_width;
  }
  // Every line of every image adds to the newline vector's gradient, so that it and the features beside it are fp32.
  down_.emplace(parameters, std::vector<Linear::Part>{{"projector.down", decoder_width}},
                Linear::Options{component, in, spec.bias, fan_in_deviation(in), spec.newline});
  if (spec.newline) newline_ = vector("projector.newline", decoder_width, Initializer::normal(fan_in_deviation(decoder_width)));
}

Var Projector::forward(Tape& tape, const Var& patches, const RowKeys& keys) {
  Var x = spec_.norm_epsilon ? rms_norm(tape, patches, norm_, *spec_.norm_epsilon) : patches;
  if (spec_.merge_size > 1) x = join_rows(tape, x, spec_.merged());
  if (up_) x = gelu(tape, up_->forward(tape, x, nullptr, keys), spec_.activation);
  return down_->forward(tape, x, nullptr, keys);
}

Var Projector::with_newline(Tape& tape, const Var& features) {
  if (!spec_.newline) return features;
  Device& device = tape.device();
  const int64_t rows = features->value.rows(), width = features->value.columns();
  const Var y = tape.variable(1 + rows, width);
  y->constant = features->constant && !newline_.gradient;
  device.copy(y->value.slice_rows(0, 1), newline_.value);
  device.copy(y->value.slice_rows(1, rows), features->value);
  tape.record([this, &device, features, y, rows, width] {
    if (y->constant) return;
    if (newline_.gradient) device.ops().sum_rows(device.context(), {y->gradient.elements(), newline_.gradient.data(), 1, width});
    if (!features->constant) add_gradient(device, *features, y->gradient.slice_rows(1, rows));
  });
  return y;
}

}  // namespace sightline
