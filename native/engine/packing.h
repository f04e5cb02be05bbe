#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/image_features.h"
#include "engine/prompt.h"
#include "nn/functions.h"
#include "nn/row_keys.h"

namespace sightline {

/** A prompt with the response whose log-probs are wanted; the response may be empty where only the prompt matters. */
struct Sequence {
  Prompt prompt;
  std::vector<int32_t> response;
};

/**
 * Sequences laid out for one pass of the model: no padding, and each distinct prompt once, followed by the responses that
 * continue it. Response token t is predicted from the row before it, so the last token of a response has no row.
 */
struct Packing {
  /** Images of the distinct prompts, in order of first use. */
  std::vector<Image> images;
  /** Per row: token id, or -1 - row of `ImageFeatures::encode`. */
  Indices ids;
  /** See engine/token_positions.h. */
  Indices positions;
  Segments segments;
  /** Rows that predict a token or carry a value: the last of each prompt, and all of the responses. Empty where they are all. */
  Indices output_rows;
  /** Per segment: the first of its rows that is an output row; all behind it are. */
  Indices first_outputs;
  /** Per response token, in the order of the sequences: its id and which of the output rows predicts it. */
  Indices targets, prediction_outputs;
  /** Per sequence: which of the output rows is its last prompt row. */
  Indices prompt_end_outputs;
  /** Per distinct prompt: its first row, its length, and the position of the first token behind it. */
  struct PromptRows {
    int32_t first, length, next_position;
  };
  std::vector<PromptRows> prompts;
  /** Of the rows, of all images' rows, and of each sequence's last prompt row. Empty where nothing is dropped. */
  RowKeys row_keys;
  ImageKeys image_keys;
  RowKeys prompt_end_keys;
};

/**
 * @param dropout_key  where adapters drop something: what the keys of the rows are derived from, those of a prompt from its
 *                     contents alone, those of a response from the index of its sequence (engine/dropout_keys.h)
 */
Packing pack(Device& device, std::span<const Sequence> sequences, const ModelSpec& spec, const std::optional<RandomKey>& dropout_key);

}  // namespace sightline
