#pragma once

#include <cstdint>
#include <vector>

#include "engine/prompt.h"

namespace sightline {

/** Where the tokens of a prompt are, for rotary angles. */
struct TokenPositions {
  /** (tokens, DecoderSpec::position_axes) */
  std::vector<int32_t> values;
  /** Of the first token behind the prompt, on all axes; those behind it count on. */
  int32_t next;
};

/**
 * On one axis, tokens are counted. On three, text counts on all of them together; the token at (row, column) of an image is at
 * (p, p + row, p + column), with p what a token of text would have had in the image's place; and text goes on behind the largest
 * number so far.
 * Source: Wang et al. 2024 (Qwen2-VL), arXiv 2409.12191, section 2.1.
 *
 * @param prompt  a valid one
 */
TokenPositions token_positions(const Prompt& prompt, const ModelSpec& spec);

}  // namespace sightline
