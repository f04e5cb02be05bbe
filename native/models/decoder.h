#pragma once

#include <memory>
#include <vector>

#include "models/model_spec.h"
#include "nn/functions.h"
#include "nn/linear.h"

namespace sightline {

/** How the rows of one forward pass attend to each other: over packed sequences, or over the pages of a KV cache. */
class RowAttention {
 public:
  virtual ~RowAttention() = default;
  /**
   * @param qkv           (N, qkv_columns) with rotated queries and keys
   * @param outputs_only  only the rows among the pass's `output_rows` will be read: the others need not be computed
   * @return (N, out_columns)
   */
  virtual Var attend(Tape& tape, int64_t layer, const Var& qkv, const AttentionShape& shape, bool outputs_only) = 0;
};

/**
 * Llama-type decoder: pre-norm blocks (x += out(attention(norm1 x)); x += down(swiglu(gate_up(norm2 x)))), RMSNorm, rotary
 * positions, grouped-query attention, and biases of queries, keys and values where the spec has them. The head may be the matrix of
 * token embeddings: the gradients of both uses then add up. Source: Touvron et al. 2023, arXiv 2302.13971; Ainslie et al. 2023.
 */
class Decoder {
 public:
  Decoder(ParameterSet& parameters, const DecoderSpec& spec, float residual_deviation);

  /**
   * Token embeddings with image features spliced in, see ops/embed.h.
   * @param features  image features, or null
   */
  Var embed(Tape& tape, const Indices& ids, const Var& features);

  /**
   * @param x            (N, width) embedded rows
   * @param positions    (N), or (N, 3) of time, row and column, see DecoderSpec::position_axes
   * @param attention    must outlive the tape
   * @param output_rows  (M) the rows whose result is wanted; the last layer leaves the others out from its queries
   *                     on. Empty: all
   * @param keys         of the N rows, where adapters drop something
   * @return (M, width) after the final norm
   */
  Var forward(Tape& tape, const Var& x, const Indices& positions, RowAttention& attention, const Indices& output_rows,
              const RowKeys& keys = {});

  struct LogProbs {
    Tensor log_probs;
    /** Empty unless asked for. */
    Tensor entropies;
    /** Steps of the backward pass read these; set them before. Either may stay empty: zero. */
    std::shared_ptr<Variable> log_prob_output, entropy_output;
  };
  /** Log-probs of `targets` under softmax(head(x) / temperature), see ops/linear_log_prob.h. */
  LogProbs log_probs(Tape& tape, const Var& x, const Indices& targets, float temperature, bool entropies);

  /** (N, V) for sampling. */
  Tensor logits(Tape& tape, const Tensor& x);

  /** Brings up to date what `forward` and `logits` multiply by: until the weights move they then read what is there only. */
  void prepare(Device& device);

  AttentionShape shape() const { return {spec_.heads, spec_.kv_heads, spec_.head_size}; }

 private:
  struct Layer {
    ParameterSet::Block norm1, norm2;
    Linear qkv, out, gate_up, down;
  };

  RopeAxes rope_axes() const {
    if (!spec_.rope_sections) return {};
    return {.count = 3, .section_0 = (*spec_.rope_sections)[0], .section_1 = (*spec_.rope_sections)[1], .restarts = false};
  }

  const ParameterSet& parameters_;
  DecoderSpec spec_;
  ParameterSet::Block embedding_;
  std::vector<Layer> layers_;
  ParameterSet::Block norm_;
  /** The embedding where that is the head. */
  ParameterSet::Block head_;
  WeightOperand head_operand_;
};

}  // namespace sightline
