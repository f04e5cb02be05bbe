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

}  // namespace

void validate(const ModelSpec& spec) {
  const VisionSpec& v = spec.vision;
  require_positive("vision.imageSize", v.image_size);
  require_positive("vision.channels", v.channels);
  require_positive("vision.patchSize", v.patch_size);
  require_positive("vision.width", v.width);
  require_positive("vision.layers", v.layers);
  require_positive("vision.heads", v.heads);
  require_positive("vision.mlpWidth", v.mlp_width);
  require_positive("vision.normEpsilon", v.norm_epsilon);
  require(v.image_size % v.patch_size == 0, "model.vision.imageSize: expected a multiple of patchSize = ", v.patch_size,
          ", received ", v.image_size);
  require(v.width % v.heads == 0, "model.vision.width: expected a multiple of heads = ", v.heads, ", received ", v.width);
  require(v.width / v.heads <= max_head_size, "model.vision: expected width / heads of at most ", max_head_size,
          ", received ", v.width / v.heads);
  require_positive("projector.hiddenWidth", spec.projector.hidden_width);
  const DecoderSpec& d = spec.decoder;
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
  for (const int64_t width : spec.value_head.hidden_widths) require_positive("valueHead.hiddenWidths", width);
  const float scale = spec.value_head.trunk_gradient_scale;
  require(scale >= 0.0f && scale <= 1.0f, "model.valueHead.trunkGradientScale: expected a number in [0, 1], received ", scale);
  const auto require_token = [&](const char* name, int32_t id) {
    require(id >= 0 && id < d.vocabulary_size, "model.", name, ": expected a token id in [0, ", d.vocabulary_size,
            "), received ", id);
  };
  require_token("imageTokenId", spec.image_token_id);
  require_token("endTokenId", spec.end_token_id);
}

}  // namespace sightline
