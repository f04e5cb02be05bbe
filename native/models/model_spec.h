#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "core/activation.h"

namespace sightline {

/** The model as data; field by field the ModelSpec of src/native/model-spec.ts, where each is documented. */
struct FixedResolutionSpec {
  int64_t image_size, channels, patch_size;
  bool patch_bias, class_token, input_norm, output_norm;
  int64_t width, layers, heads, mlp_width;
  Activation activation;
  float norm_epsilon;

  /** Patches along each side of a view. */
  int64_t side() const { return image_size / patch_size; }
  /** Rows that a view takes within the encoder. */
  int64_t rows() const { return side() * side() + (class_token ? 1 : 0); }
  int64_t view_pixels() const { return channels * image_size * image_size; }
};

struct NativeResolutionSpec {
  int64_t channels, patch_size, temporal_patch_size;
  int64_t width, layers, heads, mlp_width;
  float norm_epsilon;
  int64_t window_size;
  std::vector<int64_t> full_attention_layers;

  int64_t patch_pixels() const { return channels * temporal_patch_size * patch_size * patch_size; }
};

using VisionSpec = std::variant<FixedResolutionSpec, NativeResolutionSpec>;

struct ProjectorSpec {
  int64_t merge_size;
  std::optional<float> norm_epsilon;
  std::optional<int64_t> hidden_width;
  Activation activation;
  bool bias, newline;

  /** Patches that become one token. */
  int64_t merged() const { return merge_size * merge_size; }
};

struct DecoderSpec {
  int64_t vocabulary_size, width, layers, heads, kv_heads, head_size, mlp_width;
  bool qkv_bias, tied_head;
  float norm_epsilon, rope_theta;
  std::optional<std::array<int64_t, 3>> rope_sections;
  float embedding_scale;
  int64_t max_positions;

  /** Numbers that place a token: one, or time, row and column. */
  int64_t position_axes() const { return rope_sections ? 3 : 1; }
};

struct ValueHeadSpec {
  std::vector<int64_t> hidden_widths;
  float trunk_gradient_scale;
};

struct ModelSpec {
  /** All three or none. */
  std::optional<VisionSpec> vision;
  std::optional<ProjectorSpec> projector;
  std::optional<int32_t> image_token_id;
  DecoderSpec decoder;
  ValueHeadSpec value_head;
  int32_t end_token_id;
};

int64_t vision_width(const VisionSpec& spec);
int64_t vision_layers(const VisionSpec& spec);
/** Columns of an attention head of the encoder. */
int64_t vision_head_size(const VisionSpec& spec);

/** @throws invalid_argument naming the field, for sizes that are not positive or do not fit together */
void validate(const ModelSpec& spec);

}  // namespace sightline
