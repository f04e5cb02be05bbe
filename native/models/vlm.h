#pragma once

#include <memory>
#include <optional>

#include "models/decoder.h"
#include "models/projector.h"
#include "models/value_head.h"
#include "models/vision_encoder.h"

namespace sightline {

/**
 * A vision-language model of the LLaVA shape (Liu et al. 2023, arXiv 2304.08485): a vision encoder, a projector, and a decoder whose
 * input holds the projected features in place of image tokens; and a value head beside the language-model head. A model of text
 * alone has the last two only.
 */
class Vlm {
 public:
  /** @throws invalid_argument for a spec that does not hold together, or adapters of layers that are not there */
  Vlm(Device& device, const ModelSpec& spec, const ParameterSet::Options& options);
  Vlm(const Vlm&) = delete;
  Vlm& operator=(const Vlm&) = delete;

  const ModelSpec& spec() const { return spec_; }
  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }
  /** Of a model that sees. */
  VisionEncoder& vision() { return *vision_; }
  /** Of a model that sees. */
  Projector& projector() { return *projector_; }
  Decoder& decoder() { return *decoder_; }
  ValueHead& value_head() { return *value_head_; }

  /** Whether nothing of the component is trained. */
  bool frozen(Component component) const { return !parameters_.trains(component); }

 private:
  ModelSpec spec_;
  ParameterSet parameters_;
  std::unique_ptr<VisionEncoder> vision_;
  std::optional<Projector> projector_;
  std::optional<Decoder> decoder_;
  std::optional<ValueHead> value_head_;
};

}  // namespace sightline
