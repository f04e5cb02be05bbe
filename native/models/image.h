#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/model_spec.h"

namespace sightline {

/** Stands among an image's tokens for the model's newline vector. */
inline constexpr int32_t newline_token = -1;

/** An image as a vision encoder takes it; field by field the ImageInput of src/native/types.ts. */
struct ImageInput {
  std::vector<float> pixels;
  /** In patches. */
  struct Grid {
    int64_t rows, columns;
    bool operator==(const Grid&) const = default;
  };
  /** For a native resolution only. */
  std::optional<Grid> grid;
  /** Which features become the image's tokens; none: all, in order. */
  std::optional<std::vector<int32_t>> tokens;

  bool operator==(const ImageInput&) const = default;
};

/** Never changed once made. */
using Image = std::shared_ptr<const ImageInput>;

/** Equal images have equal hashes. */
uint64_t hash_of(const ImageInput& image);
bool same_image(const Image& a, const Image& b);
/** Takes further words into a hash. */
uint64_t mix_hash(uint64_t hash, uint64_t value);

// Of an image that the model has been found to take, see `validate`.

/** Rows of the vision encoder. */
int64_t encoder_rows(const ImageInput& image, const VisionSpec& spec);
/** Rows of what the projector makes of it. */
int64_t feature_rows(const ImageInput& image, const ModelSpec& spec);
/** Tokens of the decoder. */
int64_t image_tokens(const ImageInput& image, const ModelSpec& spec);

/**
 * @param spec  with a vision encoder
 * @param path  how the caller knows the image, for messages
 * @throws invalid_argument for pixels that make no whole views or not the grid, and for tokens that the image does not have
 */
void validate(const ImageInput& image, const ModelSpec& spec, const std::string& path);

}  // namespace sightline
