#include "engine/prompt.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace sightline {
namespace {

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15;
  return hash ^ hash >> 29;
}

}  // namespace

uint64_t hash_of(const Image& image) {
  uint64_t hash = image->size();
  for (size_t i = 0; i + 1 < image->size(); i += 2) {
    uint64_t bits;
    std::memcpy(&bits, image->data() + i, sizeof(bits));
    hash = mix(hash, bits);
  }
  return hash;
}

bool same_image(const Image& a, const Image& b) {
  return a == b || (a->size() == b->size() && std::memcmp(a->data(), b->data(), a->size() * sizeof(float)) == 0);
}

uint64_t Prompt::hash() const {
  uint64_t hash = mix(tokens.size(), images.size());
  for (const int32_t token : tokens) hash = mix(hash, static_cast<uint32_t>(token));
  for (const Image& image : images) hash = mix(hash, hash_of(image));
  return hash;
}

bool Prompt::operator==(const Prompt& other) const {
  return tokens == other.tokens && std::equal(images.begin(), images.end(), other.images.begin(), other.images.end(), same_image);
}

void validate(const Prompt& prompt, const ModelSpec& spec, const std::string& path) {
  require(!prompt.tokens.empty(), path, ".tokens: expected at least one token, received none");
  int64_t image_tokens = 0;
  for (size_t i = 0; i < prompt.tokens.size(); ++i) {
    const int32_t token = prompt.tokens[i];
    require(token >= 0 && token < spec.decoder.vocabulary_size, path, ".tokens[", i, "]: expected a token id in [0, ",
            spec.decoder.vocabulary_size, "), received ", token);
    image_tokens += token == spec.image_token_id;
  }
  for (size_t i = 0; i < prompt.images.size(); ++i)
    require(static_cast<int64_t>(prompt.images[i]->size()) == spec.vision.pixels(), path, ".images[", i, "]: expected ",
            spec.vision.pixels(), " pixel values, received ", prompt.images[i]->size());
  const int64_t expected = static_cast<int64_t>(prompt.images.size()) * spec.vision.tokens();
  require(image_tokens == expected, path, ".tokens: expected the image token ", spec.image_token_id, " ", expected, " times (",
          prompt.images.size(), " images of ", spec.vision.tokens(), " tokens), received it ", image_tokens, " times");
  require(static_cast<int64_t>(prompt.tokens.size()) <= spec.decoder.max_positions, path, ".tokens: expected at most ",
          spec.decoder.max_positions, " tokens (decoder.maxPositions), received ", prompt.tokens.size());
}

}  // namespace sightline
