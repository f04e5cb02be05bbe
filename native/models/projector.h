#pragma once

#include <optional>

#include "models/model_spec.h"
#include "nn/functions.h"
#include "nn/linear.h"

namespace sightline {

/**
 * From features of patches to features in the decoder's space: RMSNorm of each patch where the spec has it, the features of
 * mergeSize^2 patches side by side, then down(act(up x)), or down x alone; and a learned newline vector beside them.
 * Source: Liu et al. 2023, arXiv 2310.03744 (two layers); merging, Laurençon et al. 2024, arXiv 2408.12637, Bai et al. 2025, arXiv
 * 2502.13923.
 */
class Projector {
 public:
  Projector(ParameterSet& parameters, const ProjectorSpec& spec, int64_t vision_width, int64_t decoder_width);

  /**
   * @param patches  (N * mergeSize^2, vision width), those of a token following each other
   * @param keys     of the N rows, where adapters drop something
   * @return (N, decoder width)
   */
  Var forward(Tape& tape, const Var& patches, const RowKeys& keys = {});

  /** The newline vector, and behind it the features (N, decoder width); the features alone where the model has none. */
  Var with_newline(Tape& tape, const Var& features);

 private:
  ProjectorSpec spec_;
  /** Empty where the spec has none. */
  ParameterSet::Block norm_, newline_;
  std::optional<Linear> up_;
  std::optional<Linear> down_;
};

}  // namespace sightline
