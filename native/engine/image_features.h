#pragma once

#include <list>
#include <vector>

#include "engine/prompt.h"
#include "models/vlm.h"

namespace sightline {

/** Of all images' rows, where adapters drop something: within the vision encoder, and those of the features. */
struct ImageKeys {
  RowKeys encoder, features;
};

/**
 * Features of images for the decoder. What is frozen of the way from pixels to features is computed once per image and kept
 * (vision encoder, or vision encoder and projector), the rest is recorded on the caller's tape. Keeping changes no bits: an
 * image's features do not depend on what is encoded beside it. What is frozen has no adapters, so nothing of it is dropped.
 */
class ImageFeatures {
 public:
  ImageFeatures(Device& device, Vlm& vlm) : device_(device), vlm_(vlm) {}

  /** Row of the newline vector in what `encode` returns, where the model has one. */
  static constexpr int32_t newline_row = 0;
  /** Row of the first image's first feature. */
  static int32_t first_feature(const ModelSpec& spec) { return spec.projector && spec.projector->newline ? newline_row + 1 : 0; }

  /**
   * @param images  at least one
   * @return (N, decoder width): the newline vector where the model has one, then the features of all images
   */
  Var encode(Tape& tape, const std::vector<Image>& images, const ImageKeys& keys);

 private:
  /** Rows of one image behind the frozen part. */
  struct Entry {
    uint64_t hash;
    Image image;
    Tensor rows;
  };

  Tensor frozen_part(const std::vector<Image>& images);
  const Entry* find(const Image& image, uint64_t hash);
  Tensor compute(const std::vector<Image>& images);
  /** Rows of an image behind the frozen part. */
  int64_t frozen_rows(const ImageInput& image) const;

  Device& device_;
  Vlm& vlm_;
  /** Most recently used first. */
  std::list<Entry> kept_;
  size_t kept_bytes_ = 0;
  uint64_t frozen_version_ = 0;
};

}  // namespace sightline
