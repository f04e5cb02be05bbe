#include "models/vision_encoder.h"

#include "core/error.h"

namespace sightline {
namespace {

constexpr Component component = Component::vision;

// Learned positions start this wide: with 0.02, a small encoder takes several times longer to tell the patches apart.
constexpr float position_deviation = 0.3f;

}  // namespace

VisionEncoder::VisionEncoder(ParameterSet& parameters, const VisionSpec& spec, float residual_deviation)
    : spec_(spec) {
  const int64_t width = spec.width, patch = spec.channels * spec.patch_size * spec.patch_size;
  patch_weight_ = parameters.create_matrix("vision.patch_embed.weight", {width, patch}, component,
                                    Initializer::normal(fan_in_deviation(patch)));
  const auto vector = [&](const std::string& name, float value) {
    const ParameterSet::Block block = parameters.allocate(component, width, 1);
    parameters.add(name, {width}, component, block, 0, Initializer::constant(value));
    return block;
  };
  patch_bias_ = vector("vision.patch_embed.bias", 0.0f);
  position_ = parameters.allocate(component, spec.tokens(), width);
  parameters.add("vision.position", {spec.tokens(), width}, component, position_, 0, Initializer::normal(position_deviation));
  for (int64_t i = 0; i < spec.layers; ++i) {
    const std::string name = concat("vision.layers.", i, ".");
    const auto linear = [&](const std::vector<Linear::Part>& parts, int64_t in, float deviation) {
      return Linear(parameters, parts, {component, in, true, deviation});
    };
    const ParameterSet::Block norm1_weight = vector(name + "norm1.weight", 1.0f), norm1_bias = vector(name + "norm1.bias", 0.0f);
    Linear qkv = linear({{name + "attention.q", width}, {name + "attention.k", width}, {name + "attention.v", width}}, width,
                        fan_in_deviation(width));
    Linear out = linear({{name + "attention.out", width}}, width, residual_deviation * fan_in_deviation(width));
    const ParameterSet::Block norm2_weight = vector(name + "norm2.weight", 1.0f), norm2_bias = vector(name + "norm2.bias", 0.0f);
    Linear up = linear({{name + "mlp.up", spec.mlp_width}}, width, fan_in_deviation(width));
    Linear down = linear({{name + "mlp.down", width}}, spec.mlp_width, residual_deviation * fan_in_deviation(spec.mlp_width));
    layers_.push_back({norm1_weight, norm1_bias, norm2_weight, norm2_bias, std::move(qkv), std::move(out), std::move(up),
                       std::move(down)});
  }
  norm_weight_ = vector("vision.norm.weight", 1.0f);
  norm_bias_ = vector("vision.norm.bias", 0.0f);
}

Var VisionEncoder::patch_embed(Tape& tape, const Tensor& pixels) {
  Device& device = tape.device();
  const int64_t images = pixels.rows();
  const Var y = tape.variable(images * spec_.tokens(), spec_.width);
  tape.ops().patch_embed(tape.context(), {pixels.data(), patch_weight_.value.elements(), patch_bias_.value.data(),
                                          nullptr, position_.value.data(), y->value.data(), images, spec_.channels, spec_.image_size,
                                          spec_.patch_size, spec_.width, device.precision()});
  tape.record([this, &device, pixels, y, images] {
    if (!patch_weight_.gradient) return;
    device.ops().patch_embed_backward(
        device.context(), {y->gradient.data(), pixels.data(), patch_weight_.gradient.data(), patch_bias_.gradient.data(),
                           nullptr, position_.gradient.data(), images, spec_.channels, spec_.image_size, spec_.patch_size, spec_.width,
                           device.precision()});
  });
  return y;
}

Var VisionEncoder::forward(Tape& tape, const Tensor& pixels, const RowKeys& keys) {
  const int64_t tokens = spec_.tokens();
  std::vector<int32_t> images;
  for (int64_t i = 0; i < pixels.rows(); ++i)
    images.insert(images.end(), {static_cast<int32_t>(i * tokens), static_cast<int32_t>(tokens), -1});
  const Segments segments = tape.device().mirror(std::move(images));
  const AttentionShape shape{spec_.heads, spec_.heads, spec_.width / spec_.heads};
  Var x = patch_embed(tape, pixels);
  for (Layer& layer : layers_)
    x = tape.checkpoint(x, [&layer, segments, shape, keys, epsilon = spec_.norm_epsilon](Tape& t, const Var& input) {
      const Var h = layer_norm(t, input, layer.norm1_weight, layer.norm1_bias, epsilon);
      const Var attended = attention(t, layer.qkv.forward(t, h, nullptr, keys), shape, segments, false);
      const Var middle = layer.out.forward(t, attended, input, keys);
      const Var g = layer_norm(t, middle, layer.norm2_weight, layer.norm2_bias, epsilon);
      return layer.down.forward(t, gelu(t, layer.up.forward(t, g, nullptr, keys), Activation::gelu_tanh), middle, keys);
    });
  return layer_norm(tape, x, norm_weight_, norm_bias_, spec_.norm_epsilon);
}

}  // namespace sightline
