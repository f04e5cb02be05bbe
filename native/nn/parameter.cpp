#include "nn/parameter.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/close_names.h"
#include "core/error.h"
#include "core/philox.h"

namespace sightline {
namespace {

/** FNV-1a, 64 bits: keys a parameter's initial values by its name. */
uint64_t hash_name(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

int64_t element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

}  // namespace

const char* component_name(Component component) {
  switch (component) {
    case Component::vision: return "vision";
    case Component::projector: return "projector";
    case Component::decoder: return "decoder";
    case Component::value_head: return "value_head";
  }
  return "vision";
}

ParameterSet::Block ParameterSet::allocate(Purpose purpose, bool trainable, int64_t rows, int64_t columns, DType type) {
  Block block;
  block.value = device_.allocate(purpose, rows, columns, type);
  if (trainable) block.gradient = device_.allocate_zeros(Purpose::gradients, rows, columns);
  return block;
}

ParameterSet::Block ParameterSet::allocate_matrix(Component component, int64_t rows, int64_t columns) {
  const bool trained = trains_all(component);
  return allocate(Purpose::weights, trained, rows, columns, trained ? DType::f32 : device_.operand_type());
}

ParameterSet::Block ParameterSet::allocate(Component component, int64_t rows, int64_t columns) {
  return allocate(Purpose::weights, trains_all(component), rows, columns, DType::f32);
}

ParameterSet::Block ParameterSet::allocate_adapter(int64_t rows, int64_t columns) {
  return allocate(Purpose::adapter, true, rows, columns, DType::f32);
}

void ParameterSet::add(const std::string& name, const std::vector<int64_t>& shape, Component component, const Block& block,
                       int64_t first_row, const Initializer& initializer) {
  const int64_t rows = element_count(shape) / block.value.columns();
  Parameter parameter{name, shape, component, block.value.slice_rows(first_row, rows), {}, {}, {}, initializer};
  if (block.gradient) {
    trains_[static_cast<int>(component)] = true;
    parameter.gradient = block.gradient.slice_rows(first_row, rows);
    parameter.first_moment = device_.allocate_zeros(Purpose::optimizer, rows, block.value.columns());
    parameter.second_moment = device_.allocate_zeros(Purpose::optimizer, rows, block.value.columns());
  }
  initialize(parameter);
  parameters_.push_back(std::move(parameter));
}

ParameterSet::Block ParameterSet::create_matrix(const std::string& name, const std::vector<int64_t>& shape,
                                                Component component, const Initializer& initializer) {
  const int64_t columns = shape.back();
  const Block block = allocate_matrix(component, element_count(shape) / columns, columns);
  add(name, shape, component, block, 0, initializer);
  return block;
}

const LoraSpec* ParameterSet::lora(Component component, const std::string& module) {
  if (trainable(component) != Trainable::lora) return nullptr;
  modules_.push_back(module);
  const auto& chosen = options_.lora->modules;
  return !chosen || std::ranges::find(*chosen, module) != chosen->end() ? &*options_.lora : nullptr;
}

void ParameterSet::require_known_modules() const {
  if (!options_.lora || !options_.lora->modules) return;
  for (const std::string& module : *options_.lora->modules)
    require(std::ranges::find(modules_, module) != modules_.end(),
            "lora.modules: expected names of linear layers of components trained as \"lora\", received \"", module,
            "\"; close to it are ", close_names(module, modules_));
}

int64_t ParameterSet::steps() const {
  int64_t most = 0;
  for (const Parameter& parameter : parameters_) most = std::max(most, parameter.steps);
  return most;
}

float fan_in_deviation(int64_t fan_in) { return 1.0f / std::sqrt(static_cast<float>(fan_in)); }

void ParameterSet::clear_gradients() {
  for (const Parameter& parameter : parameters_)
    if (parameter.trainable()) device_.fill_zero(parameter.gradient);
}

void ParameterSet::initialize(const Parameter& parameter) const {
  if (!device_.computes()) return;
  const Initializer& initializer = parameter.initializer;
  const int64_t count = parameter.value.size();
  std::vector<float> values(static_cast<size_t>(count), initializer.value);
  if (initializer.kind == Initializer::Kind::constant) return device_.write(parameter.value, values.data());
  const uint64_t hash = hash_name(parameter.name);
  const std::array<uint32_t, 2> key{options_.seed ^ static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32)};
  for (int64_t i = 0; i < count; i += 2) {
    const auto bits = philox({static_cast<uint32_t>(i), static_cast<uint32_t>(i >> 32), 0, 0}, key);
    const double u = uniform_from_bits(bits[0], bits[1]), v = uniform_from_bits(bits[2], bits[3]);
    double pair[2];
    if (initializer.kind == Initializer::Kind::normal) {
      // Box and Muller 1958; 1 - u lies in (0, 1].
      const double radius = std::sqrt(-2.0 * std::log(1.0 - u)), angle = 2.0 * std::numbers::pi * v;
      pair[0] = radius * std::cos(angle);
      pair[1] = radius * std::sin(angle);
    } else {
      pair[0] = 2.0 * u - 1.0;
      pair[1] = 2.0 * v - 1.0;
    }
    for (int64_t j = i; j < count && j < i + 2; ++j)
      values[static_cast<size_t>(j)] = static_cast<float>(pair[j - i] * static_cast<double>(initializer.value));
  }
  device_.write(parameter.value, values.data());
}

}  // namespace sightline
