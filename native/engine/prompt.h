#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/image.h"

namespace sightline {

/** What comes before a response: token ids, with the image token once per token of an image, and the images in order. */
struct Prompt {
  std::vector<int32_t> tokens;
  std::vector<Image> images;

  /** Equal prompts have equal hashes. */
  uint64_t hash() const;
  bool operator==(const Prompt& other) const;
};

/**
 * Checks a prompt against the model.
 * @param path  how the caller knows the prompt, for messages, e.g. "request.prompt"
 * @throws invalid_argument for ids out of range, images that the model does not take, or a number of image tokens that the images do
 *         not fill
 */
void validate(const Prompt& prompt, const ModelSpec& spec, const std::string& path);

}  // namespace sightline
