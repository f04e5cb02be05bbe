#include "models/decoder.h"

#include "core/error.h"

namespace sightline {
namespace {

constexpr Component component = Component::decoder;

// Small, so that a fresh model starts near the uniform distribution over tokens.
constexpr float head_deviation = 0.02f;

}  // namespace

Decoder::Decoder(ParameterSet& parameters, const DecoderSpec& spec, float residual_deviation)
    : parameters_(parameters), spec_(spec) {
  const int64_t width = spec.width;
  // Scaled embeddings start at unit size, the size of the projected image features, unless they are the head too.
  embedding_ = parameters.create_matrix("decoder.embed.weight", {spec.vocabulary_size, width}, component,
                                 Initializer::normal(spec.tied_head ? head_deviation : 1.0f / spec.embedding_scale));
  const auto norm = [&](const std::string& name) {
    const ParameterSet::Block block = parameters.allocate(component, width, 1);
    parameters.add(name, {width}, component, block, 0, Initializer::constant(1.0f));
    return block;
  };
  for (int64_t i = 0; i < spec.layers; ++i) {
    const std::string name = concat("decoder.layers.", i, ".");
    const int64_t q = spec.heads * spec.head_size, kv = spec.kv_heads * spec.head_size;
    const auto linear = [&](const std::vector<Linear::Part>& parts, int64_t in, float deviation, bool bias = false) {
      return Linear(parameters, parts, {component, in, bias, deviation});
    };
    const ParameterSet::Block norm1 = norm(name + "norm1.weight");
    Linear qkv = linear({{name + "attention.q", q}, {name + "attention.k", kv}, {name + "attention.v", kv}}, width,
                        fan_in_deviation(width), spec.qkv_bias);
    Linear out = linear({{name + "attention.out", width}}, q, residual_deviation * fan_in_deviation(q));
    const ParameterSet::Block norm2 = norm(name + "norm2.weight");
    Linear gate_up = linear({{name + "mlp.gate", spec.mlp_width}, {name + "mlp.up", spec.mlp_width}}, width,
                            fan_in_deviation(width));
    Linear down = linear({{name + "mlp.down", width}}, spec.mlp_width, residual_deviation * fan_in_deviation(spec.mlp_width));
    layers_.push_back({norm1, norm2, std::move(qkv), std::move(out), std::move(gate_up), std::move(down)});
  }
  norm_ = norm("decoder.norm.weight");
  head_ = spec.tied_head ? embedding_
                         : parameters.create_matrix("decoder.head.weight", {spec.vocabulary_size, width}, component,
                                                    Initializer::normal(head_deviation));
}

Var Decoder::embed(Tape& tape, const Indices& ids, const Var& features) {
  Device& device = tape.device();
  const int64_t rows = ids.size();
  const Var y = tape.variable(rows, spec_.width);
  tape.ops().embed(tape.context(), {embedding_.value.elements(), features ? features->value.elements() : Elements(), ids,
                                    y->value.data(), rows, spec_.width, spec_.embedding_scale});
  tape.record([this, &device, ids, features, y, rows] {
    const bool wanted = features && !features->constant;
    const Elements dfeatures = wanted ? accumulated_gradient(device, *features).elements() : Elements();
    device.ops().embed_backward(device.context(), {y->gradient.data(), ids, embedding_.gradient.data(), dfeatures, rows,
                                                   spec_.width, spec_.embedding_scale});
  });
  return y;
}

Var Decoder::forward(Tape& tape, const Var& input, const Indices& positions, RowAttention& attention,
                     const Indices& output_rows, const RowKeys& keys) {
  const RowKeys output_keys = keys.at(tape.device(), output_rows);
  Var x = input;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const bool trimmed = i + 1 == layers_.size() && !output_rows.empty();
    x = tape.checkpoint(x, [this, i, trimmed, positions, &attention, output_rows, keys, output_keys](Tape& t, const Var& in) {
      Layer& layer = layers_[i];
      const Var qkv = layer.qkv.forward(t, rms_norm(t, in, layer.norm1, spec_.norm_epsilon), nullptr, keys);
      rope(t, qkv, shape(), positions, rope_axes(), spec_.rope_theta);
      const Var attended = attention.attend(t, static_cast<int64_t>(i), qkv, shape(), trimmed);
      const RowKeys& kept_keys = trimmed ? output_keys : keys;
      const Var middle =
          trimmed ? layer.out.forward(t, gather_rows(t, attended, output_rows), gather_rows(t, in, output_rows), kept_keys)
                  : layer.out.forward(t, attended, in, kept_keys);
      const Var h = rms_norm(t, middle, layer.norm2, spec_.norm_epsilon);
      return layer.down.forward(t, swiglu(t, layer.gate_up.forward(t, h, nullptr, kept_keys)), middle, kept_keys);
    });
  }
  return rms_norm(tape, x, norm_, spec_.norm_epsilon);
}

Decoder::LogProbs Decoder::log_probs(Tape& tape, const Var& x, const Indices& targets, float temperature,
                                     bool entropies) {
  Device& device = tape.device();
  const int64_t rows = targets.size();
  LogProbs result;
  result.log_probs = device.allocate(Purpose::activations, rows, 1);
  if (entropies) result.entropies = device.allocate(Purpose::activations, rows, 1);
  result.log_prob_output = std::make_shared<Variable>(result.log_probs);
  result.entropy_output = std::make_shared<Variable>(result.entropies);
  const MatmulOperand head = head_operand_.forward(device, parameters_, head_);
  tape.ops().linear_log_prob(tape.context(), {x->value.elements(), head.b, head.packed_b, targets, result.log_probs.data(),
                                              result.entropies.data(), rows, spec_.width, spec_.vocabulary_size,
                                              1.0f / temperature, device.precision()});
  tape.record([this, &device, x, targets, temperature, rows, log_prob = result.log_prob_output,
               entropy = result.entropy_output] {
    Tensor gradient = device.allocate(Purpose::activations, rows, spec_.width, x->value.type());
    const MatmulOperand head = head_operand_.forward(device, parameters_, head_);
    const auto packed_transposed = pack_for_backward(device, head_.value);
    device.ops().linear_log_prob_backward(
        device.context(), {log_prob->gradient.data(), entropy->gradient.data(), x->value.elements(), head.b, head.packed_b,
                           packed_transposed ? packed_transposed->data() : nullptr, targets, gradient.elements(),
                           head_.gradient.data(), rows, spec_.width, spec_.vocabulary_size, 1.0f / temperature,
                           device.precision()});
    add_gradient(device, *x, gradient);
  });
  return result;
}

void Decoder::prepare(Device& device) {
  for (Layer& layer : layers_)
    for (Linear* linear : {&layer.qkv, &layer.out, &layer.gate_up, &layer.down}) linear->prepare(device);
  head_operand_.forward(device, parameters_, head_);
}

Tensor Decoder::logits(Tape& tape, const Tensor& x) {
  Device& device = tape.device();
  const int64_t n = spec_.vocabulary_size, k = spec_.width;
  Tensor logits = device.allocate(Purpose::activations, x.rows(), n);
  const MatmulOperand head = head_operand_.forward(device, parameters_, head_);
  tape.ops().matmul(tape.context(), {x.elements(), k, 1, head.b, head.b_row_stride, head.b_column_stride, head.packed_b,
                                     logits.elements(), n, nullptr, nullptr, 0, x.rows(), n, k, 1.0f, false, device.precision()});
  return logits;
}

}  // namespace sightline
