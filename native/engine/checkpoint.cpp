#include "engine/checkpoint.h"

#include <algorithm>
#include <functional>
#include <set>

#include "core/error.h"
#include "io/safetensors_reader.h"
#include "io/safetensors_writer.h"

namespace sightline {
namespace {

/** One tensor that a file must hold. */
struct Expected {
  std::string name;
  std::vector<int64_t> shape;
  int64_t count;
  /** Takes `count` floats. */
  std::function<void(const float*)> write;
};

std::string print_shape(const auto& shape) {
  std::string text = "(";
  for (const auto extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + ")";
}

/** Lists every way in which the file's tensors differ from what is expected; reads only if there is none. */
void read_exactly(const SafetensorsReader& reader, const std::string& path, const std::vector<Expected>& expected) {
  std::string problems;
  std::set<std::string> known;
  for (const Expected& tensor : expected) {
    known.insert(tensor.name);
    const TensorInfo* info = reader.find(tensor.name);
    if (!info)
      problems += "\n  missing: " + tensor.name + " " + print_shape(tensor.shape);
    else if (!std::equal(info->shape.begin(), info->shape.end(), tensor.shape.begin(), tensor.shape.end(),
                         [](uint64_t a, int64_t b) { return a == static_cast<uint64_t>(b); }))
      problems += "\n  misshaped: " + tensor.name + " is " + print_shape(info->shape) + ", expected " + print_shape(tensor.shape);
  }
  for (const TensorInfo& info : reader.tensors())
    if (!known.contains(info.name)) problems += "\n  unexpected: " + quote_name(info.name) + " " + print_shape(info.shape);
  if (!problems.empty()) fail(ErrorCode::format, path, ": the tensors are not those of this model:", problems);
  std::vector<float> values;
  for (const Expected& tensor : expected) {
    values.resize(static_cast<size_t>(tensor.count));
    reader.read_floats(tensor.name, values.data(), values.size());
    tensor.write(values.data());
  }
}

FloatTensor to_write(Device& device, const std::string& name, const std::vector<int64_t>& shape, const Tensor& tensor) {
  return {name, shape, [&device, tensor] { return device.read(tensor); }};
}

Expected to_read(Device& device, const std::string& name, const std::vector<int64_t>& shape, const Tensor& tensor) {
  return {name, shape, tensor.size(), [&device, tensor](const float* values) { device.write(tensor, values); }};
}

}  // namespace

void save_parameters(Device& device, const ParameterSet& parameters, const std::string& path) {
  std::vector<FloatTensor> tensors;
  for (const Parameter& parameter : parameters.all())
    tensors.push_back(to_write(device, parameter.name, parameter.shape, parameter.value));
  write_safetensors(path, tensors, {{"format", "pt"}});
}

void load_parameters(Device& device, ParameterSet& parameters, const std::string& path) {
  const std::vector<Parameter>& all = parameters.all();
  const auto is_adapter = [&](const Parameter& parameter) { return parameters.is_adapter(parameter); };
  const SafetensorsReader reader(path);
  const bool has_adapters = std::ranges::any_of(
      all, [&](const Parameter& parameter) { return is_adapter(parameter) && reader.find(parameter.name); });
  std::vector<Expected> expected;
  for (const Parameter& parameter : all)
    if (has_adapters || !is_adapter(parameter))
      expected.push_back(to_read(device, parameter.name, parameter.shape, parameter.value));
  read_exactly(reader, path, expected);
  if (!has_adapters)
    for (const Parameter& parameter : all)
      if (is_adapter(parameter)) parameters.initialize(parameter);
  parameters.replaced();
}

void save_optimizer(Device& device, const ParameterSet& parameters, const std::string& path) {
  std::vector<FloatTensor> tensors;
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.trainable()) continue;
    tensors.push_back(to_write(device, parameter.name + ".first_moment", parameter.shape, parameter.first_moment));
    tensors.push_back(to_write(device, parameter.name + ".second_moment", parameter.shape, parameter.second_moment));
    // A small integer, which fp32 holds exactly up to 2^24.
    const auto steps = static_cast<float>(parameter.steps);
    tensors.push_back({parameter.name + ".steps", {1}, [steps] { return std::vector<float>{steps}; }});
  }
  write_safetensors(path, tensors, {{"format", "pt"}});
}

void load_optimizer(Device& device, ParameterSet& parameters, const std::string& path) {
  std::vector<Expected> expected;
  // Taken over together, once everything has been read.
  std::vector<float> steps(parameters.all().size());
  for (size_t i = 0; i < steps.size(); ++i) {
    Parameter& parameter = parameters.all()[i];
    if (!parameter.trainable()) continue;
    expected.push_back(to_read(device, parameter.name + ".first_moment", parameter.shape, parameter.first_moment));
    expected.push_back(to_read(device, parameter.name + ".second_moment", parameter.shape, parameter.second_moment));
    expected.push_back({parameter.name + ".steps", {1}, 1, [&to = steps[i]](const float* value) { to = *value; }});
  }
  read_exactly(SafetensorsReader(path), path, expected);
  for (size_t i = 0; i < steps.size(); ++i) parameters.all()[i].steps = static_cast<int64_t>(steps[i]);
}

}  // namespace sightline
