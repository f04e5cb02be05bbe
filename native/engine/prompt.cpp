#include "engine/prompt.h"

#include <algorithm>

#include "core/error.h"

namespace sightline {
uint64_t Prompt::hash() const {
  uint64_t hash = mix_hash(tokens.size(), images.size());
  for (const int32_t token : tokens) hash = mix_hash(hash, static_cast<uint32_t>(token));
  for (const Image& image : images) hash = mix_hash(hash, hash_of(*image));
  return hash;
}

bool Prompt::operator==(const Prompt& other) const {
  return tokens == other.tokens && std::equal(images.begin(), images.end(), other.images.begin(), other.images.end(), same_image);
}

namespace {

/** Images that have rows and columns of tokens are runs of neighbours, by which their positions are known. */
void require_runs(const Prompt& prompt, const ModelSpec& spec, const std::string& path) {
  auto token = prompt.tokens.begin();
  for (size_t i = 0; i < prompt.images.size(); ++i) {
    if (!prompt.images[i]->grid) continue;
    const int64_t count = image_tokens(*prompt.images[i], spec);
    const auto is_mark = [&](int32_t id) { return id == spec.image_token_id; };
    const auto first = std::find_if(token, prompt.tokens.end(), is_mark);
    token = first + count;
    require(std::all_of(first, token, is_mark), path, ".tokens: expected the ", count, " tokens of images[", i,
            "] one after the other, received other tokens among them");
  }
}

}  // namespace

void validate(const Prompt& prompt, const ModelSpec& spec, const std::string& path) {
  require(!prompt.tokens.empty(), path, ".tokens: expected at least one token, received none");
  int64_t marks = 0;
  for (size_t i = 0; i < prompt.tokens.size(); ++i) {
    const int32_t token = prompt.tokens[i];
    require(token >= 0 && token < spec.decoder.vocabulary_size, path, ".tokens[", i, "]: expected a token id in [0, ",
            spec.decoder.vocabulary_size, "), received ", token);
    marks += token == spec.image_token_id;
  }
  require(spec.vision || prompt.images.empty(), path, ".images: expected none, since the model takes text alone, received ",
          prompt.images.size());
  int64_t expected = 0;
  for (size_t i = 0; i < prompt.images.size(); ++i) {
    validate(*prompt.images[i], spec, concat(path, ".images[", i, "]"));
    expected += image_tokens(*prompt.images[i], spec);
  }
  require(marks == expected, path, ".tokens: expected the image token ", spec.image_token_id.value_or(0), " ", expected, " times (",
          "all tokens of ", prompt.images.size(), " images), received it ", marks, " times");
  require_runs(prompt, spec, path);
  require(static_cast<int64_t>(prompt.tokens.size()) <= spec.decoder.max_positions, path, ".tokens: expected at most ",
          spec.decoder.max_positions, " tokens (decoder.maxPositions), received ", prompt.tokens.size());
}

}  // namespace sightline
