#include "engine/packing.h"

#include <algorithm>
#include <unordered_map>

#include "engine/dropout_keys.h"
#include "engine/token_positions.h"

namespace sightline {
namespace {

/** Sequences that share a prompt. */
struct Group {
  const Prompt* prompt;
  uint64_t hash;
  std::vector<size_t> members;
};

std::vector<Group> group_by_prompt(std::span<const Sequence> sequences) {
  std::vector<Group> groups;
  std::unordered_multimap<uint64_t, size_t> by_hash;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Prompt& prompt = sequences[i].prompt;
    const uint64_t hash = prompt.hash();
    const auto [begin, end] = by_hash.equal_range(hash);
    const auto known = std::find_if(begin, end, [&](const auto& entry) { return *groups[entry.second].prompt == prompt; });
    if (known != end) {
      groups[known->second].members.push_back(i);
    } else {
      by_hash.emplace(hash, groups.size());
      groups.push_back({&prompt, hash, {i}});
    }
  }
  return groups;
}

/** Numbers the rows of the features of all images that are encoded together, in order. */
class FeatureRows {
 public:
  explicit FeatureRows(const ModelSpec& spec) : spec_(spec), next_(ImageFeatures::first_feature(spec)) {}

  /** Which row each token of a prompt's images is. */
  std::vector<int32_t> of(const Prompt& prompt) {
    std::vector<int32_t> rows;
    for (const Image& image : prompt.images) {
      const auto count = static_cast<int32_t>(feature_rows(*image, spec_));
      if (image->tokens) {
        for (const int32_t token : *image->tokens) rows.push_back(token == newline_token ? ImageFeatures::newline_row : next_ + token);
      } else {
        for (int32_t i = 0; i < count; ++i) rows.push_back(next_ + i);
      }
      next_ += count;
    }
    return rows;
  }

 private:
  const ModelSpec& spec_;
  int32_t next_;
};

/** Keys of the rows of a prompt's images, numbered over all of them. */
class ImageKeyList {
 public:
  void add(RandomKey key, const Prompt& prompt, const ModelSpec& spec) {
    int64_t encoder_count = 0, feature_count = 0;
    for (const Image& image : prompt.images) {
      encoder_count += encoder_rows(*image, *spec.vision);
      feature_count += feature_rows(*image, spec);
    }
    for (int64_t i = 0; i < encoder_count; ++i) encoder_.add(key, i);
    for (int64_t i = 0; i < feature_count; ++i) features_.add(key, i);
  }
  ImageKeys take(Device& device) { return {encoder_.take(device), features_.take(device)}; }

 private:
  RowKeyList encoder_, features_;
};

}  // namespace

Packing pack(Device& device, std::span<const Sequence> sequences, const ModelSpec& spec, const std::optional<RandomKey>& dropout_key) {
  Packing packing;
  std::vector<int32_t> ids, positions, segments, output_rows, first_outputs, targets, prediction_outputs;
  std::vector<int32_t> prompt_end_outputs(sequences.size());
  std::vector<int32_t> first_response_output(sequences.size());
  RowKeyList row_keys, prompt_end_keys;
  ImageKeyList image_keys;
  FeatureRows feature_rows(spec);
  std::vector<RandomKey> prompt_keys(sequences.size());
  const auto add_output = [&](int32_t row) {
    output_rows.push_back(row);
    return static_cast<int32_t>(output_rows.size()) - 1;
  };
  for (const Group& group : group_by_prompt(sequences)) {
    const auto first_row = static_cast<int32_t>(ids.size());
    const auto length = static_cast<int32_t>(group.prompt->tokens.size());
    const TokenPositions prompt_positions = token_positions(*group.prompt, spec);
    positions.insert(positions.end(), prompt_positions.values.begin(), prompt_positions.values.end());
    const std::vector<int32_t> image_rows = feature_rows.of(*group.prompt);
    auto image_row = image_rows.begin();
    packing.images.insert(packing.images.end(), group.prompt->images.begin(), group.prompt->images.end());
    for (const int32_t token : group.prompt->tokens) ids.push_back(token == spec.image_token_id ? -1 - *image_row++ : token);
    if (dropout_key) {
      const RandomKey key = prompt_key(*dropout_key, group.hash);
      for (int32_t t = 0; t < length; ++t) row_keys.add(key, t);
      image_keys.add(key, *group.prompt, spec);
      for (const size_t i : group.members) prompt_keys[i] = key;
    }
    const auto root = static_cast<int32_t>(segments.size() / 3);
    segments.insert(segments.end(), {first_row, length, -1});
    first_outputs.push_back(length - 1);
    packing.prompts.push_back({first_row, length, prompt_positions.next});
    const int32_t prompt_end = add_output(first_row + length - 1);
    for (const size_t i : group.members) {
      const std::vector<int32_t>& response = sequences[i].response;
      prompt_end_outputs[i] = prompt_end;
      first_response_output[i] = static_cast<int32_t>(output_rows.size());
      if (response.size() < 2) continue;
      const auto first_response_row = static_cast<int32_t>(ids.size());
      segments.insert(segments.end(), {first_response_row, static_cast<int32_t>(response.size()) - 1, root});
      first_outputs.push_back(0);
      for (size_t t = 0; t + 1 < response.size(); ++t) {
        ids.push_back(response[t]);
        positions.insert(positions.end(), static_cast<size_t>(spec.decoder.position_axes()), prompt_positions.next + static_cast<int32_t>(t));
        add_output(first_response_row + static_cast<int32_t>(t));
        if (dropout_key) row_keys.add(response_key(*dropout_key, i), length + static_cast<int64_t>(t));
      }
    }
  }
  for (size_t i = 0; i < sequences.size(); ++i)
    for (size_t t = 0; t < sequences[i].response.size(); ++t) {
      targets.push_back(sequences[i].response[t]);
      prediction_outputs.push_back(t == 0 ? prompt_end_outputs[i] : first_response_output[i] + static_cast<int32_t>(t) - 1);
    }
  if (dropout_key) {
    for (size_t i = 0; i < sequences.size(); ++i)
      prompt_end_keys.add(prompt_keys[i], static_cast<int64_t>(sequences[i].prompt.tokens.size()) - 1);
    packing.row_keys = row_keys.take(device);
    packing.image_keys = image_keys.take(device);
    packing.prompt_end_keys = prompt_end_keys.take(device);
  }
  if (output_rows.size() == ids.size()) output_rows.clear();
  packing.ids = device.mirror(std::move(ids));
  packing.positions = device.mirror(std::move(positions));
  packing.segments = device.mirror(std::move(segments));
  packing.output_rows = device.mirror(std::move(output_rows));
  packing.first_outputs = device.mirror(std::move(first_outputs));
  packing.targets = device.mirror(std::move(targets));
  packing.prediction_outputs = device.mirror(std::move(prediction_outputs));
  packing.prompt_end_outputs = device.mirror(std::move(prompt_end_outputs));
  return packing;
}

}  // namespace sightline
