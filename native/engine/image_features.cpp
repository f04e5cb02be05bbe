#include "engine/image_features.h"

namespace sightline {
namespace {

// About 28 images of 576 tokens of width 4096, or thousands of a small model's.
constexpr size_t most_kept_bytes = size_t{256} << 20;

Tensor pixel_tensor(Device& device, const std::vector<Image>& images) {
  const auto pixels = static_cast<int64_t>(images.front()->size());
  Tensor tensor = device.allocate(Purpose::activations, static_cast<int64_t>(images.size()), pixels);
  for (size_t i = 0; i < images.size(); ++i)
    device.write(tensor.slice_rows(static_cast<int64_t>(i), 1), images[i]->data());
  return tensor;
}

}  // namespace

Var ImageFeatures::encode(Tape& tape, const std::vector<Image>& images, const RowKeys& keys) {
  if (!vlm_.frozen(Component::vision)) return vlm_.project(tape, vlm_.see(tape, pixel_tensor(device_, images), keys), keys);
  const Var rows = std::make_shared<Variable>(frozen_part(images));
  rows->constant = true;
  return vlm_.frozen(Component::projector) ? rows : vlm_.project(tape, rows, keys);
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
    hashes.push_back(hash_of(images[i]));
    if (const Entry* entry = find(images[i], hashes[i])) {
      rows[i] = entry->rows;
    } else {
      missing.push_back(images[i]);
      places.push_back(i);
    }
  }
  if (!missing.empty()) {
    const Tensor computed = compute(missing);
    const int64_t tokens = vlm_.spec().vision.tokens();
    for (size_t i = 0; i < missing.size(); ++i) {
      const Tensor part = computed.slice_rows(static_cast<int64_t>(i) * tokens, tokens);
      // A copy: the slice would keep the features of all its neighbours alive.
      const Tensor own = device_.allocate(Purpose::activations, tokens, part.columns(), part.type());
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
  const int64_t count = rows.front().rows(), columns = rows.front().columns();
  Tensor all = device_.allocate(Purpose::activations, static_cast<int64_t>(images.size()) * count, columns,
                                rows.front().type());
  for (size_t i = 0; i < rows.size(); ++i)
    device_.copy(all.slice_rows(static_cast<int64_t>(i) * count, count), rows[i]);
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
  const Var seen = vlm_.see(inference, pixel_tensor(device_, images));
  return (vlm_.frozen(Component::projector) ? vlm_.project(inference, seen) : seen)->value;
}

}  // namespace sightline
