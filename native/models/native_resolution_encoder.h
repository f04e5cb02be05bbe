#pragma once

#include <vector>

#include "models/vision_encoder.h"
#include "nn/linear.h"

namespace sightline {

/**
 * Vision transformer over frames of any size: patches without learned positions, pre-norm blocks (x += out(attention(norm1 x));
 * x += down(silu(gate(norm2 x)) * up(norm2 x))) with RMSNorm and rotary angles of row and column, and bidirectional attention among
 * the patches of a window, in some blocks among those of the frame.
 * Source: Bai et al. 2025 (Qwen2.5-VL), arXiv 2502.13923, section 2.1.
 */
class NativeResolutionEncoder : public VisionEncoder {
 public:
  NativeResolutionEncoder(ParameterSet& parameters, const NativeResolutionSpec& spec, int64_t merge_size, float residual_deviation);

  Var forward(Tape& tape, const std::vector<Image>& images, const RowKeys& keys) override;

 private:
  struct Layer {
    ParameterSet::Block norm1, norm2;
    Linear qkv, out, gate_up, down;
  };
  /** How the patches of a pass are laid out: window by window, so that those of a window are neighbours. */
  struct Layout {
    /** Per row: which patch it is, of all images in order. */
    std::vector<int32_t> patches;
    /** Per row: the patch's row and column. */
    std::vector<int32_t> positions;
    std::vector<int32_t> windows, frames;
  };
  Layout lay_out(const std::vector<Image>& images) const;
  /** (rows, pixels of a patch), in the order of the layout. */
  Tensor patch_tensor(Device& device, const std::vector<Image>& images, const std::vector<int32_t>& patches) const;

  NativeResolutionSpec spec_;
  int64_t merge_size_;
  Linear patch_embed_;
  std::vector<Layer> layers_;
};

}  // namespace sightline
