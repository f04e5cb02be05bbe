#pragma once

#include <vector>

#include "models/vision_encoder.h"
#include "nn/linear.h"

namespace sightline {

/**
 * Vision transformer over square views: patches, behind a class token where there is one, with learned positions; pre-norm blocks
 * (x += out(attention(norm1 x)); x += down(act(up(norm2 x)))) with bidirectional attention; a LayerNorm before and behind the
 * blocks where the spec has it. The class token's feature is dropped.
 * Source: Dosovitskiy et al. 2021, arXiv 2010.11929; with a norm before the blocks, Radford et al. 2021, arXiv 2103.00020.
 */
class FixedResolutionEncoder : public VisionEncoder {
 public:
  FixedResolutionEncoder(ParameterSet& parameters, const FixedResolutionSpec& spec, int64_t merge_size, float residual_deviation);

  Var forward(Tape& tape, const std::vector<Image>& images, const RowKeys& keys) override;

 private:
  struct Norm {
    ParameterSet::Block weight, bias;
  };
  struct Layer {
    Norm norm1, norm2;
    Linear qkv, out, up, down;
  };
  /** @param pixels  (views, channels * size * size); must outlive the tape */
  Var patch_embed(Tape& tape, const Tensor& pixels);
  /** The patches of `views` views in the order of `VisionEncoder::forward`, as rows of the blocks. */
  std::vector<int32_t> patch_rows(int64_t views) const;

  FixedResolutionSpec spec_;
  int64_t merge_size_;
  /** What the spec leaves out is empty. */
  ParameterSet::Block patch_weight_, patch_bias_, class_token_, position_;
  Norm input_norm_, output_norm_;
  std::vector<Layer> layers_;
};

}  // namespace sightline
