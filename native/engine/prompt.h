#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/model_spec.h"

namespace sightline {

/** Pixel values of one image, (channels, size, size), never changed once made. */
using Image = std::shared_ptr<const std::vector<float>>;

/** Equal images have equal hashes. */
uint64_t hash_of(const Image& image);
bool same_image(const Image& a, const Image& b);

/** What comes before a response: token ids, with the image token once per image feature, and the images in order. */
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
 * @throws invalid_argument for ids out of range, wrong image sizes, or a number of image tokens that the images do not fill
 */
void validate(const Prompt& prompt, const ModelSpec& spec, const std::string& path);

}  // namespace sightline
