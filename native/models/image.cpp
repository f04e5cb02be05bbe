#include "models/image.h"

#include <cstring>

#include "core/error.h"

namespace sightline {
namespace {

// Above what an image of the largest side that is resized to (16384 pixels) has.
constexpr int64_t max_grid_side = 16384;

void validate(const ImageInput& image, const FixedResolutionSpec& vision, const ModelSpec& spec, const std::string& path) {
  require(!image.grid, path, ".grid: expected none, since the model takes views of one size, received one");
  const auto pixels = static_cast<int64_t>(image.pixels.size());
  require(pixels > 0 && pixels % vision.view_pixels() == 0, path, ".pixels: expected ", vision.view_pixels(),
          " values per view, received ", pixels);
  if (!image.tokens) return;
  const int64_t features = feature_rows(image, spec), least = spec.projector->newline ? newline_token : 0;
  for (size_t i = 0; i < image.tokens->size(); ++i) {
    const int32_t token = (*image.tokens)[i];
    require(token >= least && token < features, path, ".tokens[", i, "]: expected one of the image's ", features, " features",
            spec.projector->newline ? ", or -1 for the newline vector" : ", since the model has no newline vector", ", received ", token);
  }
}

void validate(const ImageInput& image, const NativeResolutionSpec& vision, const ModelSpec& spec, const std::string& path) {
  require(image.grid.has_value(), path,
          ".grid: expected the rows and columns of patches, since the model takes images of any size, received nothing");
  require(!image.tokens, path, ".tokens: expected none, since all features of an image of any size are its tokens, received some");
  const int64_t merge = spec.projector->merge_size;
  const auto [rows, columns] = *image.grid;
  for (const int64_t side : {rows, columns})
    require(side > 0 && side <= max_grid_side && side % merge == 0, path, ".grid: expected multiples of mergeSize = ", merge, " in [1, ",
            max_grid_side, "], received ", rows, " rows and ", columns, " columns");
  const int64_t expected = rows * columns * vision.patch_pixels();
  require(static_cast<int64_t>(image.pixels.size()) == expected, path, ".pixels: expected ", expected, " values (", rows, " x ", columns,
          " patches of ", vision.patch_pixels(), "), received ", image.pixels.size());
}

}  // namespace

uint64_t mix_hash(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15;
  return hash ^ hash >> 29;
}

uint64_t hash_of(const ImageInput& image) {
  uint64_t hash = image.pixels.size();
  for (size_t i = 0; i + 1 < image.pixels.size(); i += 2) {
    uint64_t bits;
    std::memcpy(&bits, image.pixels.data() + i, sizeof(bits));
    hash = mix_hash(hash, bits);
  }
  if (image.grid) hash = mix_hash(mix_hash(hash, static_cast<uint64_t>(image.grid->rows)), static_cast<uint64_t>(image.grid->columns));
  if (image.tokens)
    for (const int32_t token : *image.tokens) hash = mix_hash(hash, static_cast<uint32_t>(token));
  return hash;
}

bool same_image(const Image& a, const Image& b) {
  if (a == b) return true;
  // By their bits: NaN is the same image as NaN, and 0 another one than -0.
  return a->pixels.size() == b->pixels.size() && a->grid == b->grid && a->tokens == b->tokens &&
         std::memcmp(a->pixels.data(), b->pixels.data(), a->pixels.size() * sizeof(float)) == 0;
}

int64_t encoder_rows(const ImageInput& image, const VisionSpec& spec) {
  if (image.grid) return image.grid->rows * image.grid->columns;
  const auto& vision = std::get<FixedResolutionSpec>(spec);
  return static_cast<int64_t>(image.pixels.size()) / vision.view_pixels() * vision.rows();
}

int64_t feature_rows(const ImageInput& image, const ModelSpec& spec) {
  if (image.grid) return image.grid->rows * image.grid->columns / spec.projector->merged();
  const auto& vision = std::get<FixedResolutionSpec>(*spec.vision);
  const int64_t views = static_cast<int64_t>(image.pixels.size()) / vision.view_pixels();
  return views * vision.side() * vision.side() / spec.projector->merged();
}

int64_t image_tokens(const ImageInput& image, const ModelSpec& spec) {
  return image.tokens ? static_cast<int64_t>(image.tokens->size()) : feature_rows(image, spec);
}

void validate(const ImageInput& image, const ModelSpec& spec, const std::string& path) {
  std::visit([&](const auto& vision) { validate(image, vision, spec, path); }, *spec.vision);
}

}  // namespace sightline
