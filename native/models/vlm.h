#pragma once

#include "models/decoder.h"
#include "models/value_head.h"
#include "models/vision_encoder.h"

namespace sightline {

/**
 * A vision-language model of the LLaVA shape (Liu et al. 2023, arXiv 2304.08485): a vision encoder, a projector of two
 * linear layers with GELU between, and a decoder whose input holds the projected features in place of image tokens; and a
 * value head beside the language-model head.
 */
class Vlm {
 public:
  /** @throws invalid_argument for a spec that does not hold together */
  Vlm(Device& device, const ModelSpec& spec, const ParameterSet::Options& options);
  Vlm(const Vlm&) = delete;
  Vlm& operator=(const Vlm&) = delete;

  const ModelSpec& spec() const { return spec_; }
  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }
  Decoder& decoder() { return decoder_; }
  ValueHead& value_head() { return value_head_; }

  /**
   * What the vision encoder makes of images, (images * vision tokens, vision width).
   * @param pixels  as VisionEncoder::forward takes them
   */
  Var see(Tape& tape, const Tensor& pixels, const RowKeys& keys = {}) { return vision_.forward(tape, pixels, keys); }
  /** Image features for the decoder, (N, decoder width), of what the vision encoder made. */
  Var project(Tape& tape, const Var& seen, const RowKeys& keys = {});

  /** Whether nothing of the component is trained. */
  bool frozen(Component component) const { return parameters_.trainable(component) == Trainable::frozen; }

 private:
  ModelSpec spec_;
  ParameterSet parameters_;
  VisionEncoder vision_;
  Linear projector_up_, projector_down_;
  Decoder decoder_;
  ValueHead value_head_;
};

}  // namespace sightline
