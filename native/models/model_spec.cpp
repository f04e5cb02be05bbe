#include "models/model_spec.h"

#include "core/error.h"
#include "ops/attention_decode.h"

namespace sightline {
namespace {

// Attention keeps a tile of this many columns per head on the stack.
constexpr int64_t max_head_size = 256;

void require_positive(const char* name, int64_t value) {
  require(value > 0, "model.", name, ": expected a positive integer, received ", value);
}

void require_positive(const char* name, float value) {
  require(value > 0.0f && value < 1e30f, "model.", name, ": expected a positive number, received ", value);
}

/** What both kinds of encoders have. */
void validate_blocks(const auto& v) {
  require_positive("vision.channels", v.channels);
  require_positive("vision.patchSize", v.patch_size);
  require_positive("vision.width", v.width);
  require_positive("vision.layers", v.layers);
  require_positive("vision.heads", v.heads);
  require_positive("vision.mlpWidth", v.mlp_width);
  require_positive("vision.normEpsilon", v.norm_epsilon);
  require(v.width % v.heads == 0, "model.vision.width: expected a multiple of heads = ", v.heads, ", received ", v.width);
  require(v.width / v.heads <= max_head_size, "model.vision: expected width / heads of at most ", max_head_size,
          ", received ", v.width / v.heads);
}

void validate_vision(const FixedResolutionSpec& v, const ProjectorSpec& p) {
  validate_blocks(v);
  require_positive("vision.imageSize", v.image_size);
  require(v.image_size % v.patch_size == 0, "model.vision.imageSize: expected a multiple of patchSize = ", v.patch_size,
          ", received ", v.image_size);
  require(v.side() % p.merge_size == 0, "model.projector.mergeSize: expected a divisor of vision.imageSize / vision.patchSize = ",
          v.side(), ", received ", p.merge_size);
}

void validate_vision(const NativeResolutionSpec& v, const ProjectorSpec& p) {
  validate_blocks(v);
  require_positive("vision.temporalPatchSize", v.temporal_patch_size);
  require_positive("vision.windowSize", v.window_size);
  require(v.width / v.heads % 4 == 0,
          "model.vision: expected width / heads to be a multiple of 4, half of it for rows and half for columns, received ",
          v.width / v.heads);
  const int64_t token_size = v.patch_size * p.merge_size;
  require(v.window_size % token_size == 0, "model.vision.windowSize: expected a multiple of patchSize * projector.mergeSize = ",
          token_size, ", received ", v.window_size);
  for (const int64_t layer : v.full_attention_layers)
    require(layer >= 0 && layer < v.layers, "model.vision.fullAttentionLayers: expected numbers in [0, ", v.layers, "), received ",
            layer);
  require(!p.newline, "model.projector.newline: expected false, since images of a native resolution have no lines, received true");
}

void validate_decoder(const DecoderSpec& d) {
  require_positive("decoder.vocabularySize", d.vocabulary_size);
  require_positive("decoder.width", d.width);
  require_positive("decoder.layers", d.layers);
  require_positive("decoder.heads", d.heads);
  require_positive("decoder.keyValueHeads", d.kv_heads);
  require_positive("decoder.headSize", d.head_size);
  require_positive("decoder.mlpWidth", d.mlp_width);
  require_positive("decoder.normEpsilon", d.norm_epsilon);
  require_positive("decoder.ropeTheta", d.rope_theta);
  require_positive("decoder.embeddingScale", d.embedding_scale);
  require_positive("decoder.maxPositions", d.max_positions);
  require(d.heads % d.kv_heads == 0, "model.decoder.heads: expected a multiple of keyValueHeads = ", d.kv_heads,
          ", received ", d.heads);
  require(d.head_size % 2 == 0 && d.head_size <= max_head_size, "model.decoder.headSize: expected an even number of at most ",
          max_head_size, ", received ", d.head_size);
  if (!d.rope_sections) return;
  const auto [time, row, column] = *d.rope_sections;
  require(time >= 0 && row >= 0 && column >= 0 && time + row + column == d.head_size / 2,
          "model.decoder.ropeSections: expected three counts of headSize / 2 = ", d.head_size / 2, " in all, received ", time, ", ",
          row, ", ", column);
}

}  // namespace

int64_t vision_width(const VisionSpec& spec) {
  return std::visit([](const auto& v) { return v.width; }, spec);
}

int64_t vision_layers(const VisionSpec& spec) {
  return std::visit([](const auto& v) { return v.layers; }, spec);
}

int64_t vision_head_size(const VisionSpec& spec) {
  return std::visit([](const auto& v) { return v.heads > 0 ? v.width / v.heads : 0; }, spec);
}

void validate(const ModelSpec& spec) {
  const bool sees = spec.vision.has_value();
  require(spec.projector.has_value() == sees, "model.projector: expected ", sees ? "an object" : "null",
          ", since model.vision is ", sees ? "one" : "null", ", received ", sees ? "null" : "an object");
  require(spec.image_token_id.has_value() == sees, "model.imageTokenId: expected ", sees ? "a token id" : "null",
          ", since model.vision is ", sees ? "an object" : "null", ", received ", sees ? "null" : "a number");
  if (sees) {
    const ProjectorSpec& p = *spec.projector;
    require_positive("projector.mergeSize", p.merge_size);
    if (p.norm_epsilon) require_positive("projector.normEpsilon", *p.norm_epsilon);
    if (p.hidden_width) require_positive("projector.hiddenWidth", *p.hidden_width);
    std::visit([&](const auto& v) { validate_vision(v, p); }, *spec.vision);
    require(!spec.decoder.rope_sections || std::holds_alternative<NativeResolutionSpec>(*spec.vision),
            "model.decoder.ropeSections: expected null, since images of a fixed resolution have no rows and columns of tokens, "
            "received three counts");
  }
  const DecoderSpec& d = spec.decoder;
  validate_decoder(d);
  for (const int64_t width : spec.value_head.hidden_widths) require_positive("valueHead.hiddenWidths", width);
  const float scale = spec.value_head.trunk_gradient_scale;
  require(scale >= 0.0f && scale <= 1.0f, "model.valueHead.trunkGradientScale: expected a number in [0, 1], received ", scale);
  const auto require_token = [&](const char* name, int32_t id) {
    require(id >= 0 && id < d.vocabulary_size, "model.", name, ": expected a token id in [0, ", d.vocabulary_size,
            "), received ", id);
  };
  if (sees) require_token("imageTokenId", *spec.image_token_id);
  require_token("endTokenId", spec.end_token_id);
}

}  // namespace sightline
