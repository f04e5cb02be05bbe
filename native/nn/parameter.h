#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/device.h"

namespace sightline {

/** The parts of a model that are trained or frozen apart. */
enum class Component { vision, projector, decoder, value_head };
inline constexpr int component_count = 4;
const char* component_name(Component component);

enum class Trainable { all, lora, frozen };

/**
 * Low-rank adapters: W x + (alpha / rank) B A d(x), where d drops elements of x with probability `dropout` (ops/dropout.h) and is the
 * identity at 0 (Hu et al. 2021, arXiv 2106.09685).
 */
struct LoraSpec {
  int64_t rank;
  float alpha;
  /** In [0, 1). */
  float dropout = 0.0f;
  /** Names of the linear layers that get adapters; none: all of the components trained by them. */
  std::optional<std::vector<std::string>> modules = std::nullopt;
};

/** How a parameter starts. */
struct Initializer {
  enum class Kind { constant, normal, uniform } kind;
  /** The constant, the standard deviation, or the bound of [-bound, bound). */
  float value;

  static Initializer constant(float value) { return {Kind::constant, value}; }
  static Initializer normal(float standard_deviation) { return {Kind::normal, standard_deviation}; }
  static Initializer uniform(float bound) { return {Kind::uniform, bound}; }
};

/** Standard deviation with which a linear layer keeps the size of what passes it: fan_in^-0.5. */
float fan_in_deviation(int64_t fan_in);

/** A named tensor of the model with its gradient and optimizer state; both are empty while it is frozen. */
struct Parameter {
  std::string name;
  std::vector<int64_t> shape;
  Component component;
  Tensor value;
  Tensor gradient;
  Tensor first_moment, second_moment;
  Initializer initializer;
  /** Optimizer steps taken. */
  int64_t steps = 0;

  bool trainable() const { return static_cast<bool>(gradient); }
};

/** All parameters of a model, in a fixed order. */
class ParameterSet {
 public:
  struct Options {
    /** Indexed by Component. */
    Trainable trainable[component_count];
    /** Present exactly when some component is trained as lora. */
    std::optional<LoraSpec> lora;
    uint32_t seed;
  };
  ParameterSet(Device& device, const Options& options) : device_(device), options_(options) {}

  /** Memory for parameters that lie next to each other, so that one product can use them all. */
  struct Block {
    Tensor value, gradient;
  };
  /** A block for weights that products read: stored as operands are while the component is frozen, else fp32. */
  Block allocate_matrix(Component component, int64_t rows, int64_t columns);
  /** A block for any other weights: fp32. */
  Block allocate(Component component, int64_t rows, int64_t columns);
  /** A block for an adapter, which is trained. */
  Block allocate_adapter(int64_t rows, int64_t columns);

  /** Registers rows [first_row, ...) of `block` under `name` and initialises them from the seed and the name alone. */
  void add(const std::string& name, const std::vector<int64_t>& shape, Component component, const Block& block,
           int64_t first_row, const Initializer& initializer);
  /** A matrix with a block of its own. */
  Block create_matrix(const std::string& name, const std::vector<int64_t>& shape, Component component,
                      const Initializer& initializer);

  /**
   * The shape of the adapter of a linear layer; null where it gets none.
   * @param module  the layer's name
   */
  const LoraSpec* lora(Component component, const std::string& module);
  /** To be called when the model is whole. @throws invalid_argument for an adapter that was asked for where no linear layer is */
  void require_known_modules() const;
  /** Whether any adapter drops elements of its input, so that passes need the keys of rows. */
  bool drops() const { return options_.lora && options_.lora->dropout > 0.0f; }
  /** Numbers adapters from 0, in the order in which they are made. */
  int64_t number_adapter() { return adapters_++; }

  /** Whether a parameter is a factor of an adapter: of a component that is trained by them nothing else is. */
  bool is_adapter(const Parameter& parameter) const {
    return parameter.trainable() && trainable(parameter.component) == Trainable::lora;
  }
  /** Gives a parameter the value that it started with. */
  void initialize(const Parameter& parameter) const;

  std::vector<Parameter>& all() { return parameters_; }
  const std::vector<Parameter>& all() const { return parameters_; }

  uint32_t seed() const { return options_.seed; }
  /** The most optimizer steps that any parameter has taken. */
  int64_t steps() const;

  Trainable trainable(Component component) const { return options_.trainable[static_cast<int>(component)]; }
  /** Whether any parameter of the component is trained. */
  bool trains(Component component) const { return trains_[static_cast<int>(component)]; }

  /** Moves whenever any weights change, so that what was derived from them can tell that it is stale. */
  uint64_t version() const { return version_; }
  /** Moves when weights that are not trained change: when they are replaced. */
  uint64_t frozen_version() const { return frozen_version_; }
  /** Moves when the values of `block` change. */
  uint64_t version(const Block& block) const { return block.gradient ? version_ : frozen_version_; }
  /** To be called after an optimizer step. */
  void stepped() { ++version_; }
  /** To be called after weights have been loaded. */
  void replaced() {
    ++version_;
    ++frozen_version_;
  }

  void clear_gradients();

 private:
  Block allocate(Purpose purpose, bool trainable, int64_t rows, int64_t columns, DType type);
  bool trains_all(Component component) const { return trainable(component) == Trainable::all; }

  Device& device_;
  Options options_;
  std::vector<Parameter> parameters_;
  int64_t adapters_ = 0;
  bool trains_[component_count] = {};
  /** Names of the linear layers of components that are trained by adapters. */
  std::vector<std::string> modules_;
  uint64_t version_ = 1;
  uint64_t frozen_version_ = 1;
};

}  // namespace sightline
