#include "engine/image_features.h"

namespace sightline {
namespace {

// About 28 images of 576 tokens of width 4096, or thousands of a small model's.
constexpr size_t most_kept_bytes = size_t{256} << 20;

}  // namespace

Var ImageFeatures::encode(Tape& tape, const std::vector<Image>& images, const ImageKeys& keys) {
  Projector& projector = vlm_.projector();
  if (!vlm_.frozen(Component::vision)) {
    const Var patches = vlm_.vision().forward(tape, images, keys.encoder);
    return projector.with_newline(tape, projector.forward(tape, patches, keys.features));
  }
  const Var rows = std::make_shared<Variable>(frozen_part(images));
  rows->constant = true;
  return projector.with_newline(tape, vlm_.frozen(Component::projector) ? rows : projector.forward(tape, rows, keys.features));
}

Tensor ImageFeatures::frozen_part(const std::vector<Image>& images) {
  if (frozen_version_ != vlm_.parameters().frozen_version()) {
    kept_.clear();
    kept_bytes_ = 0;
    frozen_version_ = vlm_.parameters().frozen_version();
  }
  std::vector<Tensor> rows(images.size());
  std::vector<uint64_t> hashes;
  std::vector<Image> missing;
  std::vector<size_t> places;
  for (size_t i = 0; i < images.size(); ++i) {
    hashes.push_back(hash_of(*images[i]));
    if (const Entry* entry = find(images[i], hashes[i])) {
      rows[i] = entry->rows;
    } else {
      missing.push_back(images[i]);
      places.push_back(i);
    }
  }
  if (!missing.empty()) {
    const Tensor computed = compute(missing);
    int64_t first = 0;
    for (size_t i = 0; i < missing.size(); ++i) {
      const Tensor part = computed.slice_rows(first, frozen_rows(*missing[i]));
      first += part.rows();
      // A copy: the slice would keep the features of all its neighbours alive.
      const Tensor own = device_.allocate(Purpose::activations, part.rows(), part.columns(), part.type());
      device_.copy(own, part);
      rows[places[i]] = own;
      kept_.push_front({hashes[places[i]], missing[i], own});
      kept_bytes_ += own.bytes();
    }
    while (kept_bytes_ > most_kept_bytes) {
      kept_bytes_ -= kept_.back().rows.bytes();
      kept_.pop_back();
    }
  }
  int64_t count = 0;
  for (const Tensor& part : rows) count += part.rows();
  Tensor all = device_.allocate(Purpose::activations, count, rows.front().columns(), rows.front().type());
  int64_t first = 0;
  for (const Tensor& part : rows) {
    device_.copy(all.slice_rows(first, part.rows()), part);
    first += part.rows();
  }
  return all;
}

const ImageFeatures::Entry* ImageFeatures::find(const Image& image, uint64_t hash) {
  for (auto entry = kept_.begin(); entry != kept_.end(); ++entry)
    if (entry->hash == hash && same_image(entry->image, image)) {
      kept_.splice(kept_.begin(), kept_, entry);
      return &kept_.front();
    }
  return nullptr;
}

Tensor ImageFeatures::compute(const std::vector<Image>& images) {
  Tape inference(device_, Tape::Mode::inference);
  const Var patches = vlm_.vision().forward(inference, images);
  return (vlm_.frozen(Component::projector) ? vlm_.projector().forward(inference, patches) : patches)->value;
}

int64_t ImageFeatures::frozen_rows(const ImageInput& image) const {
  const ModelSpec& spec = vlm_.spec();
  return feature_rows(image, spec) * (vlm_.frozen(Component::projector) ? 1 : spec.projector->merged());
}

}  // namespace sightline
