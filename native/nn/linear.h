#pragma once

#include <string>
#include <vector>

#include "autograd/tape.h"
#include "nn/parameter.h"

namespace sightline {

/** A weight W (N, K) packed as the right-hand side of a product, see ops/matmul.h: of x W^T, or of y W where `transposed` is false. */
std::shared_ptr<Storage> pack_weight(Device& device, const Tensor& weight, bool transposed);

/**
 * A weight packed for the forward pass, x W^T; made anew when the weights have moved. It is kept because generation uses it for
 * every token. The backward pass runs less often and on more rows: it has weights packed as it goes.
 */
class PackedWeight {
 public:
  const void* get(Device& device, const ParameterSet& parameters, const ParameterSet::Block& weight);

 private:
  std::shared_ptr<Storage> packed_;
  uint64_t version_ = 0;
};

/**
 * y = x W^T + bias (+ residual), with low-rank adapters y += (alpha / r) (x A^T) B^T where the component is adapted.
 * W may stack several parts that are parameters of their own (query, key and value; gate and up): one product computes all.
 * Shapes: x (N, in), W (out, in) as in PyTorch, A (r, in), B (out, r), y (N, out). y is an operand of what comes next, or,
 * with a residual or as the last of a model, fp32.
 */
class Linear {
 public:
  struct Part {
    /** Complete parameter name without ".weight". */
    std::string name;
    int64_t out;
  };
  struct Options {
    Component component;
    int64_t in;
    bool bias;
    /** Standard deviation of the initial weights. */
    float initial_deviation;
    /** Whether results are added up in a residual stream, or read as they are: fp32. Else they are operands. */
    bool keeps_fp32 = false;
  };
  Linear(ParameterSet& parameters, const std::vector<Part>& parts, const Options& options);

  /** @param residual (N, out) added to the result; may be null */
  Var forward(Tape& tape, const Var& x, const Var& residual = nullptr);

  int64_t out() const { return weight_.value.rows(); }

 private:
  struct Adapter {
    int64_t first_column, out;
    float scale;
    ParameterSet::Block a, b;
    PackedWeight packed_a, packed_b;
  };
  void backward(Device& device, const Var& x, const Var& y, const std::vector<Tensor>& projections);

  const ParameterSet& parameters_;
  bool keeps_fp32_;
  ParameterSet::Block weight_, bias_;
  PackedWeight packed_;
  std::vector<Adapter> adapters_;
};

}  // namespace sightline
