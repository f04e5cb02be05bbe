#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/input_block.h"
#include "models/vlm.h"

namespace sightline {

struct SamplingSettings {
  /** 0: greedy. */
  float temperature = 1.0f;
  /** 0: all. */
  int32_t top_k = 0;
  float top_p = 1.0f;
};

/** How one token is drawn; see ops/sample.h. */
struct DrawSettings {
  SamplingSettings sampling;
  RandomKey random_key{};
  /** Index of the token within its response. */
  int32_t index = 0;
};

struct DrawnTokens {
  std::vector<int32_t> tokens;
  std::vector<float> log_probs;
};

/** Of the KV cache; see ops/attention_decode.h. */
using Page = std::shared_ptr<Storage>;

/** A response that is to get its next token. */
struct DecodeRow {
  /** The last one so far, and which of the sequence it is. */
  int32_t token, index;
  /** On all axes, see engine/token_positions.h. */
  int32_t position;
  /** Of all tokens up to and including it. */
  const std::vector<Page>* pages;
  DrawSettings draw;
};

/**
 * The step that decoding repeats: every row's last token through the decoder, its logits, and a draw. Where the device records
 * steps (ops/step_recorder.h), the batch is padded to a power of two of rows, and the page table to a power of two of pages, and
 * there is one recording per pair. Rows that pad have no pages: they write nothing to the KV cache and see no keys, and no
 * other row's result depends on them.
 */
class DecodeStep {
 public:
  /** @param most_rows  of a step; at least 1 */
  DecodeStep(Device& device, Vlm& vlm, int64_t most_rows);

  /** @param rows  at least one */
  DrawnTokens run(const std::vector<DecodeRow>& rows);
  /** Draws from final hidden states (B, width) alone, for responses that have no token yet. Not recorded. @param settings (B) */
  DrawnTokens draw(const Tensor& hidden, const std::vector<DrawSettings>& settings);

 private:
  struct DrawInputs;
  DrawInputs put(const std::vector<DrawSettings>& settings);
  /** Enqueues the draw for all rows of `hidden`. */
  void sample(Tape& tape, const Tensor& hidden, const DrawInputs& inputs);
  /** What was drawn for the first `count` of `rows` rows. */
  DrawnTokens fetch(int64_t rows, size_t count);

  Device& device_;
  Vlm& vlm_;
  std::unique_ptr<StepRecorder> recorder_;
  InputBlock inputs_;
  /** Tokens of all rows of a step, then their log-probs. */
  std::shared_ptr<Storage> drawn_;
};

}  // namespace sightline
