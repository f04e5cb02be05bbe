#pragma once

#include <vector>

#include "models/model_spec.h"
#include "nn/functions.h"
#include "nn/linear.h"

namespace sightline {

/**
 * Vision transformer: patches with learned positions, pre-norm blocks (x += out(attention(norm1 x)); x += down(gelu(up(
 * norm2 x)))) with bidirectional attention, final LayerNorm. Source: Dosovitskiy et al. 2021, arXiv 2010.11929.
 */
class VisionEncoder {
 public:
  VisionEncoder(ParameterSet& parameters, const VisionSpec& spec, float residual_deviation);

  /**
   * @param pixels  (images, channels * size * size); must outlive the tape
   * @param keys    of the images * tokens rows, where adapters drop something
   * @return (images * tokens, width)
   */
  Var forward(Tape& tape, const Tensor& pixels, const RowKeys& keys = {});

 private:
  struct Layer {
    ParameterSet::Block norm1_weight, norm1_bias, norm2_weight, norm2_bias;
    Linear qkv, out, up, down;
  };
  Var patch_embed(Tape& tape, const Tensor& pixels);

  VisionSpec spec_;
  ParameterSet::Block patch_weight_, patch_bias_, position_;
  std::vector<Layer> layers_;
  ParameterSet::Block norm_weight_, norm_bias_;
};

}  // namespace sightline
