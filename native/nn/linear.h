#pragma once

#include <string>
#include <vector>

#include "autograd/tape.h"
#include "nn/parameter.h"
#include "nn/row_keys.h"

namespace sightline {

/** A weight as the B of a product: what goes into MatmulArgs' fields of the same names. */
struct MatmulOperand {
  ConstElements b;
  int64_t b_row_stride, b_column_stride;
  const void* packed_b;
};

/**
 * A weight W (out, in) in the form in which the device's products read it: as stored where the device can, else as a copy
 * that is made anew, in the same place, when the weights have moved. On the CPU the copy is packed for the forward pass, because generation uses
 * it for every token; the backward pass runs less often and on more rows, and has products pack the weight as they go.
 */
class WeightOperand {
 public:
  /** B = W^T of x W^T: the forward pass. */
  MatmulOperand forward(Device& device, const ParameterSet& parameters, const ParameterSet::Block& weight);
  /** B = W of y W, which takes the gradient back. */
  MatmulOperand backward(Device& device, const ParameterSet& parameters, const ParameterSet::Block& weight);

 private:
  const void* copy(Device& device, const ParameterSet& parameters, const ParameterSet::Block& weight, bool transposed);

  std::shared_ptr<Storage> copy_;
  uint64_t version_ = 0;
};

/**
 * W packed as the B of y W, for a caller that makes several products with it; null where products read weights in place.
 */
std::shared_ptr<Storage> pack_for_backward(Device& device, const Tensor& weight);

/**
 * y = x W^T + bias (+ residual), with low-rank adapters y += (alpha / r) (d(x) A^T) B^T where the component is adapted; d is dropout,
 * of each part on its own, as in PEFT, or the identity where its rate is 0.
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
    /** Whether it may get adapters. */
    bool adaptable = true;
  };
  Linear(ParameterSet& parameters, const std::vector<Part>& parts, const Options& options);

  /**
   * @param residual  (N, out) added to the result; may be null
   * @param keys      of the N rows, where adapters drop something; the backward pass draws the same masks by them again
   */
  Var forward(Tape& tape, const Var& x, const Var& residual = nullptr, const RowKeys& keys = {});

  /** Brings up to date what `forward` multiplies by, so that the next one does not have to. */
  void prepare(Device& device);

  int64_t out() const { return weight_.value.rows(); }

 private:
  struct Adapter {
    int64_t first_column, out;
    float scale, dropout;
    /** The `module` of its dropout. */
    int64_t number;
    ParameterSet::Block a, b;
    WeightOperand operand_a, operand_b;
  };
  /** d(x), which is x itself where nothing is dropped. */
  static Tensor input_of(Device& device, const Adapter& adapter, const Tensor& x, const RowKeys& keys);
  void backward(Device& device, const Var& x, const Var& y, const std::vector<Tensor>& projections, const RowKeys& keys);

  const ParameterSet& parameters_;
  bool keeps_fp32_;
  ParameterSet::Block weight_, bias_;
  WeightOperand operand_;
  std::vector<Adapter> adapters_;
};

}  // namespace sightline
