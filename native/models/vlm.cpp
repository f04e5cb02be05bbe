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
  const int64_t layers = (spec.vision ? vision_layers(*spec.vision) : 0) + spec.decoder.layers;
  return 1.0f / std::sqrt(2.0f * static_cast<float>(layers));
}

}  // namespace

Vlm::Vlm(Device& device, const ModelSpec& spec, const ParameterSet::Options& options)
    : spec_(validated(spec)), parameters_(device, options) {
  const float deviation = residual_deviation(spec);
  if (spec.vision) {
    vision_ = make_vision_encoder(parameters_, *spec.vision, spec.projector->merge_size, deviation);
    projector_.emplace(parameters_, *spec.projector, vision_width(*spec.vision), spec.decoder.width);
  }
  decoder_.emplace(parameters_, spec.decoder, deviation);
  value_head_.emplace(parameters_, spec.value_head, spec.decoder.width);
  parameters_.require_known_modules();
}

}  // namespace sightline
