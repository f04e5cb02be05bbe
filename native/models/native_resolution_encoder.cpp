#include "models/native_resolution_encoder.h"

#include <algorithm>

#include "core/error.h"

namespace sightline {
namespace {

constexpr Component component = Component::vision;

// Of the angles of rows and columns, in all published models.
constexpr float rope_theta = 10000.0f;

Linear make_patch_embed(ParameterSet& parameters, const NativeResolutionSpec& spec) {
  const int64_t patch = spec.patch_pixels();
  // The residual stream begins with it. A convolution in published models, which adapters leave alone.
  return Linear(parameters, {{"vision.patch_embed", spec.width}},
                {component, patch, false, fan_in_deviation(patch), /*keeps_fp32=*/true, /*adaptable=*/false});
}

}  // namespace

NativeResolutionEncoder::NativeResolutionEncoder(ParameterSet& parameters, const NativeResolutionSpec& spec, int64_t merge_size,
                                                 float residual_deviation)
    : spec_(spec), merge_size_(merge_size), patch_embed_(make_patch_embed(parameters, spec)) {
  const int64_t width = spec.width;
  const auto norm = [&](const std::string& name) {
    const ParameterSet::Block block = parameters.allocate(component, width, 1);
    parameters.add(name, {width}, component, block, 0, Initializer::constant(1.0f));
    return block;
  };
  for (int64_t i = 0; i < spec.layers; ++i) {
    const std::string name = concat("vision.layers.", i, ".");
    const auto linear = [&](const std::vector<Linear::Part>& parts, int64_t in, float deviation) {
      return Linear(parameters, parts, {component, in, true, deviation});
    };
    const ParameterSet::Block norm1 = norm(name + "norm1.weight");
    Linear qkv = linear({{name + "attention.qkv", 3 * width}}, width, fan_in_deviation(width));
    Linear out = linear({{name + "attention.out", width}}, width, residual_deviation * fan_in_deviation(width));
    const ParameterSet::Block norm2 = norm(name + "norm2.weight");
    Linear gate_up = linear({{name + "mlp.gate", spec.mlp_width}, {name + "mlp.up", spec.mlp_width}}, width, fan_in_deviation(width));
    Linear down = linear({{name + "mlp.down", width}}, spec.mlp_width, residual_deviation * fan_in_deviation(spec.mlp_width));
    layers_.push_back({norm1, norm2, std::move(qkv), std::move(out), std::move(gate_up), std::move(down)});
  }
}

NativeResolutionEncoder::Layout NativeResolutionEncoder::lay_out(const std::vector<Image>& images) const {
  Layout layout;
  const auto begin = [&] { return static_cast<int32_t>(layout.patches.size()); };
  const auto end = [&](std::vector<int32_t>& segments, int32_t first) { segments.insert(segments.end(), {first, begin() - first, -1}); };
  const int64_t merge = merge_size_, window = spec_.window_size / spec_.patch_size;
  int64_t before = 0;
  for (const Image& image : images) {
    const auto [rows, columns] = *image->grid;
    const int32_t frame = begin();
    for (int64_t window_top = 0; window_top < rows; window_top += window)
      for (int64_t window_left = 0; window_left < columns; window_left += window) {
        const int32_t first = begin();
        // The squares of patches that become one token stay together: images hold them so, and the projector takes them so.
        for (int64_t top = window_top; top < std::min(window_top + window, rows); top += merge)
          for (int64_t left = window_left; left < std::min(window_left + window, columns); left += merge) {
            const int64_t token = top / merge * (columns / merge) + left / merge;
            for (int64_t i = 0; i < merge * merge; ++i) {
              layout.patches.push_back(static_cast<int32_t>(before + token * merge * merge + i));
              layout.positions.insert(layout.positions.end(),
                                      {static_cast<int32_t>(top + i / merge), static_cast<int32_t>(left + i % merge)});
            }
          }
        end(layout.windows, first);
      }
    end(layout.frames, frame);
    before += rows * columns;
  }
  return layout;
}

Tensor NativeResolutionEncoder::patch_tensor(Device& device, const std::vector<Image>& images, const std::vector<int32_t>& patches) const {
  const auto count = static_cast<size_t>(spec_.patch_pixels());
  std::vector<const float*> sources;
  for (const Image& image : images)
    for (size_t first = 0; first < image->pixels.size(); first += count) sources.push_back(image->pixels.data() + first);
  std::vector<float> pixels(patches.size() * count);
  for (size_t row = 0; row < patches.size(); ++row) std::copy_n(sources[static_cast<size_t>(patches[row])], count, &pixels[row * count]);
  Tensor tensor = device.allocate(Purpose::activations, static_cast<int64_t>(patches.size()), spec_.patch_pixels());
  device.write(tensor, pixels.data());
  return tensor;
}

Var NativeResolutionEncoder::forward(Tape& tape, const std::vector<Image>& images, const RowKeys& image_keys) {
  Device& device = tape.device();
  Layout layout = lay_out(images);
  const Var pixels = std::make_shared<Variable>(patch_tensor(device, images, layout.patches));
  pixels->constant = true;
  std::vector<int32_t> rows(layout.patches.size());
  for (size_t row = 0; row < rows.size(); ++row) rows[static_cast<size_t>(layout.patches[row])] = static_cast<int32_t>(row);
  const Indices patches = device.mirror(std::move(layout.patches)), positions = device.mirror(std::move(layout.positions));
  const Segments windows = device.mirror(std::move(layout.windows)), frames = device.mirror(std::move(layout.frames));
  const RowKeys keys = image_keys.at(device, patches);
  // Half of the frequencies follow the patch's row, the other half, which are the same, its column.
  const RopeAxes rope_axes{.count = 2, .section_0 = spec_.width / spec_.heads / 4, .section_1 = 0, .restarts = true};
  const AttentionShape shape{spec_.heads, spec_.heads, spec_.width / spec_.heads};
  Var x = patch_embed_.forward(tape, pixels);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto& full = spec_.full_attention_layers;
    const bool sees_frame = std::find(full.begin(), full.end(), static_cast<int64_t>(i)) != full.end();
    const Segments& segments = sees_frame ? frames : windows;
    x = tape.checkpoint(x, [this, i, segments, positions, shape, keys, rope_axes](Tape& t, const Var& input) {
      Layer& layer = layers_[i];
      const Var qkv = layer.qkv.forward(t, rms_norm(t, input, layer.norm1, spec_.norm_epsilon), nullptr, keys);
      rope(t, qkv, shape, positions, rope_axes, rope_theta);
      const Var middle = layer.out.forward(t, attention(t, qkv, shape, segments, false), input, keys);
      const Var h = rms_norm(t, middle, layer.norm2, spec_.norm_epsilon);
      return layer.down.forward(t, swiglu(t, layer.gate_up.forward(t, h, nullptr, keys)), middle, keys);
    });
  }
  return gather_rows(tape, x, device.mirror(std::move(rows)));
}

}  // namespace sightline
