#include "models/fixed_resolution_encoder.h"

#include "core/error.h"

namespace sightline {
namespace {

constexpr Component component = Component::vision;

// Learned positions start this wide: with 0.02, a small encoder takes several times longer to tell the patches apart.
constexpr float position_deviation = 0.3f;

/** (views, pixels of a view) */
Tensor view_tensor(Device& device, const std::vector<Image>& images, int64_t view_pixels) {
  int64_t views = 0;
  for (const Image& image : images) views += static_cast<int64_t>(image->pixels.size()) / view_pixels;
  Tensor tensor = device.allocate(Purpose::activations, views, view_pixels);
  int64_t first = 0;
  for (const Image& image : images) {
    const int64_t count = static_cast<int64_t>(image->pixels.size()) / view_pixels;
    device.write(tensor.slice_rows(first, count), image->pixels.data());
    first += count;
  }
  return tensor;
}

}  // namespace

FixedResolutionEncoder::FixedResolutionEncoder(ParameterSet& parameters, const FixedResolutionSpec& spec, int64_t merge_size,
                                               float residual_deviation)
    : spec_(spec), merge_size_(merge_size) {
  const int64_t width = spec.width, patch = spec.channels * spec.patch_size * spec.patch_size;
  patch_weight_ = parameters.create_matrix("vision.patch_embed.weight", {width, patch}, component,
                                    Initializer::normal(fan_in_deviation(patch)));
  const auto vector = [&](const std::string& name, const Initializer& initializer) {
    const ParameterSet::Block block = parameters.allocate(component, width, 1);
    parameters.add(name, {width}, component, block, 0, initializer);
    return block;
  };
  const auto norm = [&](const std::string& name) {
    const ParameterSet::Block weight = vector(name + ".weight", Initializer::constant(1.0f));
    return Norm{weight, vector(name + ".bias", Initializer::constant(0.0f))};
  };
  if (spec.patch_bias) patch_bias_ = vector("vision.patch_embed.bias", Initializer::constant(0.0f));
  if (spec.class_token) class_token_ = vector("vision.class_token", Initializer::normal(position_deviation));
  position_ = parameters.allocate(component, spec.rows(), width);
  parameters.add("vision.position", {spec.rows(), width}, component, position_, 0, Initializer::normal(position_deviation));
  if (spec.input_norm) input_norm_ = norm("vision.input_norm");
  for (int64_t i = 0; i < spec.layers; ++i) {
    const std::string name = concat("vision.layers.", i, ".");
    const auto linear = [&](const std::vector<Linear::Part>& parts, int64_t in, float deviation) {
      return Linear(parameters, parts, {component, in, true, deviation});
    };
    const Norm norm1 = norm(name + "norm1");
    Linear qkv = linear({{name + "attention.q", width}, {name + "attention.k", width}, {name + "attention.v", width}}, width,
                        fan_in_deviation(width));
    Linear out = linear({{name + "attention.out", width}}, width, residual_deviation * fan_in_deviation(width));
    const Norm norm2 = norm(name + "norm2");
    Linear up = linear({{name + "mlp.up", spec.mlp_width}}, width, fan_in_deviation(width));
    Linear down = linear({{name + "mlp.down", width}}, spec.mlp_width, residual_deviation * fan_in_deviation(spec.mlp_width));
    layers_.push_back({norm1, norm2, std::move(qkv), std::move(out), std::move(up), std::move(down)});
  }
  if (spec.output_norm) output_norm_ = norm("vision.norm");
}

Var FixedResolutionEncoder::patch_embed(Tape& tape, const Tensor& pixels) {
  Device& device = tape.device();
  const int64_t views = pixels.rows();
  const Var y = tape.variable(views * spec_.rows(), spec_.width);
  tape.ops().patch_embed(tape.context(),
                         {pixels.data(), patch_weight_.value.elements(), patch_bias_.value.data(), class_token_.value.data(),
                          position_.value.data(), y->value.data(), views, spec_.channels, spec_.image_size, spec_.patch_size,
                          spec_.width, device.precision()});
  tape.record([this, &device, pixels, y, views] {
    if (!patch_weight_.gradient) return;
    device.ops().patch_embed_backward(
        device.context(), {y->gradient.data(), pixels.data(), patch_weight_.gradient.data(), patch_bias_.gradient.data(),
                           class_token_.gradient.data(), position_.gradient.data(), views, spec_.channels, spec_.image_size,
                           spec_.patch_size, spec_.width, device.precision()});
  });
  return y;
}

std::vector<int32_t> FixedResolutionEncoder::patch_rows(int64_t views) const {
  const int64_t side = spec_.side(), merge = merge_size_, first = spec_.class_token ? 1 : 0;
  std::vector<int32_t> rows;
  for (int64_t view = 0; view < views; ++view)
    for (int64_t top = 0; top < side; top += merge)
      for (int64_t left = 0; left < side; left += merge)
        for (int64_t dy = 0; dy < merge; ++dy)
          for (int64_t dx = 0; dx < merge; ++dx)
            rows.push_back(static_cast<int32_t>(view * spec_.rows() + first + (top + dy) * side + left + dx));
  return rows;
}

Var FixedResolutionEncoder::forward(Tape& tape, const std::vector<Image>& images, const RowKeys& keys) {
  Device& device = tape.device();
  const Tensor pixels = view_tensor(device, images, spec_.view_pixels());
  std::vector<int32_t> views;
  for (int64_t i = 0; i < pixels.rows(); ++i)
    views.insert(views.end(), {static_cast<int32_t>(i * spec_.rows()), static_cast<int32_t>(spec_.rows()), -1});
  const Segments segments = device.mirror(std::move(views));
  const AttentionShape shape{spec_.heads, spec_.heads, spec_.width / spec_.heads};
  Var x = patch_embed(tape, pixels);
  // It begins the residual stream, which is fp32.
  if (spec_.input_norm) x = layer_norm(tape, x, input_norm_.weight, input_norm_.bias, spec_.norm_epsilon, DType::f32);
  for (Layer& layer : layers_)
    x = tape.checkpoint(x, [this, &layer, segments, shape, keys](Tape& t, const Var& input) {
      const float epsilon = spec_.norm_epsilon;
      const DType operand = t.device().operand_type();
      const Var h = layer_norm(t, input, layer.norm1.weight, layer.norm1.bias, epsilon, operand);
      const Var attended = attention(t, layer.qkv.forward(t, h, nullptr, keys), shape, segments, false);
      const Var middle = layer.out.forward(t, attended, input, keys);
      const Var g = layer_norm(t, middle, layer.norm2.weight, layer.norm2.bias, epsilon, operand);
      return layer.down.forward(t, gelu(t, layer.up.forward(t, g, nullptr, keys), spec_.activation), middle, keys);
    });
  if (spec_.output_norm)
    x = layer_norm(tape, x, output_norm_.weight, output_norm_.bias, spec_.norm_epsilon, device.operand_type());
  const bool in_order = !spec_.class_token && merge_size_ == 1;
  return in_order ? x : gather_rows(tape, x, device.mirror(patch_rows(pixels.rows())));
}

}  // namespace sightline
