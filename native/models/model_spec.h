#pragma once

#include <cstdint>
#include <vector>

namespace sightline {

/** The model as data; field by field the ModelSpec of src/native/types.ts, where each is documented. */
struct VisionSpec {
  int64_t image_size, channels, patch_size, width, layers, heads, mlp_width;
  float norm_epsilon;

  int64_t tokens() const { return (image_size / patch_size) * (image_size / patch_size); }
  int64_t pixels() const { return channels * image_size * image_size; }
};

struct ProjectorSpec {
  int64_t hidden_width;
};

struct DecoderSpec {
  int64_t vocabulary_size, width, layers, heads, kv_heads, head_size, mlp_width;
  float norm_epsilon, rope_theta, embedding_scale;
  int64_t max_positions;
};

struct ValueHeadSpec {
  std::vector<int64_t> hidden_widths;
  float trunk_gradient_scale;
};

struct ModelSpec {
  VisionSpec vision;
  ProjectorSpec projector;
  DecoderSpec decoder;
  ValueHeadSpec value_head;
  int32_t image_token_id, end_token_id;
};

/** @throws invalid_argument naming the field, for sizes that are not positive or do not fit together */
void validate(const ModelSpec& spec);

}  // namespace sightline
