#pragma once

#include <memory>
#include <vector>

#include "models/image.h"
#include "nn/functions.h"
#include "nn/row_keys.h"

namespace sightline {

/** What sees: images to a feature per patch. What it computes for an image does not depend on the images beside it. */
class VisionEncoder {
 public:
  virtual ~VisionEncoder() = default;

  /**
   * @param images  at least one
   * @param keys    of the `encoder_rows` of all images, where adapters drop something
   * @return (patches of all images, width): those that the projector merges into one token follow each other, row by row, and so do
   *         the tokens of a view
   */
  virtual Var forward(Tape& tape, const std::vector<Image>& images, const RowKeys& keys = {}) = 0;
};

/**
 * @param merge_size          of the projector
 * @param residual_deviation  factor on the initial deviation of what is added to the residual stream
 */
std::unique_ptr<VisionEncoder> make_vision_encoder(ParameterSet& parameters, const VisionSpec& spec, int64_t merge_size,
                                                   float residual_deviation);

}  // namespace sightline
