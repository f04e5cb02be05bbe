#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "ops/device.h"

namespace sightline {

/** A value of the forward pass and, during the backward pass, the gradient of the loss with respect to it. */
struct Variable {
  explicit Variable(Tensor v) : value(std::move(v)) {}
  Tensor value;
  /** Of the value's shape and type. Empty until the first contribution arrives. */
  Tensor gradient;
  /** Whether nobody reads its gradient, which steps of the backward pass then leave out. */
  bool constant = false;
  /**
   * Computes `value` anew, to the same bits. Set where that is cheap (norms, activations): such a value is dropped between
   * its use in the forward pass and its use in the backward pass, which keeps a quarter less memory per layer.
   */
  std::function<void()> recompute;

  void drop_if_cheap() {
    if (recompute) value.drop_data();
  }
  void restore() {
    if (!value) recompute();
  }
};
using Var = std::shared_ptr<Variable>;

/**
 * The record of one forward pass. Functions of `nn` compute at once through the device's ops and, while recording, leave a
 * step that turns the gradients of their outputs into gradients of their inputs; `backward` runs the steps in reverse and
 * drops each one, and with it the activations that it kept, as soon as it has run.
 */
class Tape {
 public:
  enum class Mode { inference, recording };
  Tape(Device& device, Mode mode, bool checkpointing = false)
      : device_(device), mode_(mode), checkpointing_(checkpointing) {}

  Device& device() { return device_; }
  const OpTable& ops() const { return device_.ops(); }
  ExecutionContext& context() { return device_.context(); }
  bool recording() const { return mode_ == Mode::recording; }

  /** A new variable of undefined contents. */
  Var variable(int64_t rows, int64_t columns, DType type = DType::f32) {
    return std::make_shared<Variable>(device_.allocate(Purpose::activations, rows, columns, type));
  }

  /** Keeps `step` for the backward pass; does nothing in inference. */
  template <class Step>
  void record(Step&& step) {
    if (recording()) steps_.emplace_back(std::forward<Step>(step));
  }

  /** Runs all steps in reverse; the gradients of the outputs must have been set. */
  void backward();

  using Body = std::function<Var(Tape&, const Var&)>;
  /**
   * body(*this, input), but with checkpointing on only `input` is kept, and the body runs again in the backward pass
   * (Chen et al. 2016, arXiv 1604.06174). The body must be a pure function of its input and the weights.
   */
  Var checkpoint(const Var& input, const Body& body);

 private:
  Device& device_;
  Mode mode_;
  bool checkpointing_;
  std::vector<std::function<void()>> steps_;
};

/** The variable's gradient for adding to: zeros if there was none. */
Tensor& accumulated_gradient(Device& device, Variable& variable);
/**
 * Adds `gradient` to the variable's. Takes the memory over if there was none, so the caller must be done with it.
 */
void add_gradient(Device& device, Variable& variable, const Tensor& gradient);

}  // namespace sightline
