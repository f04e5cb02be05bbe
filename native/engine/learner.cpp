#include "engine/learner.h"

#include <atomic>

#include "core/error.h"

namespace sightline {
namespace {

/** One number per tape of the process, so that no engine takes another's for its own. */
uint64_t new_tape_number() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

/** Rows of a packing attend to each other. */
class PackedAttention : public RowAttention {
 public:
  explicit PackedAttention(const Packing& packing) : packing_(packing) {}
  Var attend(Tape& tape, int64_t, const Var& qkv, const AttentionShape& shape, bool outputs_only) override {
    return attention(tape, qkv, shape, packing_.segments, true, outputs_only ? packing_.first_outputs : Indices());
  }

 private:
  const Packing& packing_;
};

/** @param given empty: zeros */
Tensor to_gradient(Device& device, const char* name, const std::vector<float>& given, const Tensor& output) {
  if (given.empty()) return device.allocate_zeros(Purpose::activations, output.rows(), output.columns());
  require(static_cast<int64_t>(given.size()) == output.size(), "gradient.", name, ": expected ", output.size(),
          " values, received ", given.size());
  Tensor gradient = device.allocate(Purpose::activations, output.rows(), output.columns());
  device.write(gradient, given.data());
  return gradient;
}

}  // namespace

/** What one forward pass keeps for its backward pass. */
struct Learner::Pass {
  Pass(Device& device, Packing p, bool checkpointing)
      : packing(std::move(p)), attention(packing), tape(device, Tape::Mode::recording, checkpointing) {}
  Packing packing;
  PackedAttention attention;
  Tape tape;
  Decoder::LogProbs scores;
  Var values;
};

ForwardResult Learner::forward(const std::vector<Sequence>& sequences, const ForwardOptions& options) {
  const bool drops = vlm_.parameters().drops();
  auto pass = std::make_shared<Pass>(
      device_, pack(device_, sequences, vlm_.spec(), drops ? options.dropout_key : std::nullopt), activation_checkpointing_);
  Tape inference(device_, Tape::Mode::inference);
  Tape& tape = options.keep_tape ? pass->tape : inference;
  Packing& packing = pass->packing;
  Var features;
  if (!packing.images.empty())
    features = image_features_.encode(tape, packing.images, packing.image_keys);
  Decoder& decoder = vlm_.decoder();
  const Var hidden = decoder.forward(tape, decoder.embed(tape, packing.ids, features), packing.positions, pass->attention,
                                     packing.output_rows, packing.row_keys);
  const Var predicting = gather_rows(tape, hidden, packing.prediction_outputs);
  pass->scores = decoder.log_probs(tape, predicting, packing.targets, options.temperature, options.entropies);
  const Var prompt_ends =
      gather_rows(tape, hidden, packing.prompt_end_outputs, vlm_.spec().value_head.trunk_gradient_scale);
  pass->values = vlm_.value_head().forward(tape, prompt_ends, packing.prompt_end_keys);

  ForwardResult result;
  result.log_probs = device_.read(pass->scores.log_probs);
  result.values = device_.read(pass->values->value);
  if (options.entropies) result.entropies = device_.read(pass->scores.entropies);
  result.offsets.push_back(0);
  for (const Sequence& sequence : sequences)
    result.offsets.push_back(result.offsets.back() + static_cast<int32_t>(sequence.response.size()));
  if (options.keep_tape) {
    result.tape = new_tape_number();
    passes_.emplace(result.tape, std::move(pass));
  }
  return result;
}

void Learner::backward(uint64_t tape, const OutputGradient& gradient) {
  const auto found = passes_.find(tape);
  require(found != passes_.end(), "forward: the tape ", tape,
          " is gone; each forward result serves one backward, before the next step or load");
  const std::shared_ptr<Pass> pass = found->second;
  Decoder::LogProbs& scores = pass->scores;
  require(gradient.entropies.empty() || scores.entropies,
          "gradient.entropies: expected none, since the forward ran without `entropies: true`");
  Tensor dlog_probs = to_gradient(device_, "logProbs", gradient.log_probs, scores.log_probs);
  Tensor dvalues = to_gradient(device_, "values", gradient.values, pass->values->value);
  if (!gradient.entropies.empty())
    scores.entropy_output->gradient = to_gradient(device_, "entropies", gradient.entropies, scores.entropies);
  scores.log_prob_output->gradient = std::move(dlog_probs);
  pass->values->gradient = std::move(dvalues);
  passes_.erase(found);
  pass->tape.backward();
}

std::vector<double> Learner::step(const OptimizerStep& step) {
  std::vector<double> norms = optimizer_step(device_, vlm_.parameters(), step);
  passes_.clear();
  return norms;
}

void Learner::reset() {
  passes_.clear();
  vlm_.parameters().clear_gradients();
}

}  // namespace sightline
