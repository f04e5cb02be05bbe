#pragma once

#include <list>
#include <vector>

#include "engine/prompt.h"
#include "models/vlm.h"

namespace sightline {

/**
 * Features of images for the decoder. What is frozen of the way from pixels to features is computed once per image and kept
 * (vision encoder, or vision encoder and projector), the rest is recorded on the caller's tape. Keeping changes no bits: an
 * image's features do not depend on what is encoded beside it. What is frozen has no adapters, so nothing of it is dropped.
 */
class ImageFeatures {
 public:
  ImageFeatures(Device& device, Vlm& vlm) : device_(device), vlm_(vlm) {}

  /**
   * @param images  at least one
   * @param keys    of all their rows, where adapters drop something
   * @return (images * vision tokens, decoder width)
   */
  Var encode(Tape& tape, const std::vector<Image>& images, const RowKeys& keys);

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

  Device& device_;
  Vlm& vlm_;
  /** Most recently used first. */
  std::list<Entry> kept_;
  size_t kept_bytes_ = 0;
  uint64_t frozen_version_ = 0;
};

}  // namespace sightline
