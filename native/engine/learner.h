#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "engine/image_features.h"
#include "engine/optimizer.h"
#include "engine/packing.h"
#include "models/vlm.h"

namespace sightline {

struct ForwardOptions {
  float temperature = 1.0f;
  bool entropies = false;
  bool keep_tape = true;
  /** Of what adapters drop; present where they drop something. */
  std::optional<RandomKey> dropout_key;
};

/** Packed results for B sequences with N response tokens; see ForwardResult in src/native/types.ts. */
struct ForwardResult {
  std::vector<float> log_probs;
  std::vector<int32_t> offsets;
  std::vector<float> values;
  /** Empty unless asked for. */
  std::vector<float> entropies;
  /** Names the tape; 0 if none was kept. */
  uint64_t tape = 0;
};

struct OutputGradient {
  std::vector<float> log_probs;
  /** Empty: zero. */
  std::vector<float> values, entropies;
};

/** The training side of the engine: scores sequences, takes gradients of the scores, steps the optimizer. */
class Learner {
 public:
  Learner(Device& device, Vlm& vlm, ImageFeatures& image_features, bool activation_checkpointing)
      : device_(device), vlm_(vlm), image_features_(image_features), activation_checkpointing_(activation_checkpointing) {}

  ForwardResult forward(const std::vector<Sequence>& sequences, const ForwardOptions& options);
  /** Adds to the gradients of the parameters and drops the tape. @throws invalid_argument for an unknown tape or wrong lengths */
  void backward(uint64_t tape, const OutputGradient& gradient);
  /** Drops all tapes: they hold activations of the old weights. */
  std::vector<double> step(const OptimizerStep& step);
  /** Drops all tapes and gradients after the weights have been replaced. */
  void reset();

 private:
  struct Pass;

  Device& device_;
  Vlm& vlm_;
  ImageFeatures& image_features_;
  bool activation_checkpointing_;
  std::map<uint64_t, std::shared_ptr<Pass>> passes_;
};

}  // namespace sightline
