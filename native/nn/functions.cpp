#include "nn/functions.h"

#include <cmath>

namespace sightline {

namespace {

/** Fills y by work(data), and lets it be filled again where y is dropped in between. */
template <class Work>
void compute(Tape& tape, const Var& y, Work work) {
  work(y->value.elements());
  if (!tape.recording()) return;
  // Not `y` itself, which would then keep itself alive.
  y->recompute = [&device = tape.device(), variable = y.get(), work = std::move(work)] {
    const Tensor& dropped = variable->value;
    variable->value = device.allocate(Purpose::activations, dropped.rows(), dropped.columns(), dropped.type());
    work(variable->value.elements());
  };
}

}  // namespace

float AttentionShape::scale() const { return 1.0f / std::sqrt(static_cast<float>(head_size)); }

Var layer_norm(Tape& tape, const Var& x, const ParameterSet::Block& weight, const ParameterSet::Block& bias,
               float epsilon, DType type) {
  Device& device = tape.device();
  const int64_t rows = x->value.rows(), columns = x->value.columns();
  const Var y = tape.variable(rows, columns, type);
  const Tensor mean = device.allocate(Purpose::activations, rows, 1);
  const Tensor rstd = device.allocate(Purpose::activations, rows, 1);
  compute(tape, y, [&device, x, weight, bias, mean, rstd, rows, columns, epsilon](Elements to) {
    device.ops().layer_norm(device.context(), {x->value.data(), weight.value.data(), bias.value.data(), to, mean.data(),
                                               rstd.data(), rows, columns, epsilon});
  });
  tape.record([&device, x, y, weight, bias, mean, rstd, rows, columns] {
    device.ops().layer_norm_backward(
        device.context(), {y->gradient.elements(), x->value.data(), weight.value.data(), mean.data(), rstd.data(),
                           accumulated_gradient(device, *x).data(), weight.gradient.data(), bias.gradient.data(), rows, columns});
  });
  return y;
}

Var rms_norm(Tape& tape, const Var& x, const ParameterSet::Block& weight, float epsilon) {
  Device& device = tape.device();
  const int64_t rows = x->value.rows(), columns = x->value.columns();
  const Var y = tape.variable(rows, columns, device.operand_type());
  const Tensor rstd = device.allocate(Purpose::activations, rows, 1);
  compute(tape, y, [&device, x, weight, rstd, rows, columns, epsilon](Elements to) {
    device.ops().rms_norm(device.context(), {x->value.data(), weight.value.data(), to, rstd.data(), rows, columns, epsilon});
  });
  tape.record([&device, x, y, weight, rstd, rows, columns] {
    device.ops().rms_norm_backward(device.context(),
                                   {y->gradient.elements(), x->value.data(), weight.value.data(), rstd.data(),
                                    accumulated_gradient(device, *x).data(), weight.gradient.data(), rows, columns});
  });
  return y;
}

Var gelu(Tape& tape, const Var& x, Activation kind) {
  Device& device = tape.device();
  const int64_t count = x->value.size();
  const Var y = tape.variable(x->value.rows(), x->value.columns(), x->value.type());
  compute(tape, y, [&device, x, count, kind](Elements to) {
    device.ops().gelu(device.context(), {x->value.elements(), to, count, kind});
  });
  tape.record([&device, x, y, count, kind] {
    device.ops().gelu_backward(device.context(),
                               {y->gradient.elements(), x->value.elements(), y->gradient.elements(), count, kind});
    add_gradient(device, *x, y->gradient);
  });
  return y;
}

Var relu(Tape& tape, const Var& x) {
  Device& device = tape.device();
  const int64_t count = x->value.size();
  const Var y = tape.variable(x->value.rows(), x->value.columns(), x->value.type());
  tape.ops().relu(tape.context(), {x->value.elements(), y->value.elements(), count});
  tape.record([&device, x, y, count] {
    device.ops().relu_backward(device.context(), {y->gradient.elements(), y->value.elements(), y->gradient.elements(), count});
    add_gradient(device, *x, y->gradient);
  });
  return y;
}

Var swiglu(Tape& tape, const Var& gate_up) {
  Device& device = tape.device();
  const int64_t rows = gate_up->value.rows(), width = gate_up->value.columns() / 2;
  const Var y = tape.variable(rows, width, gate_up->value.type());
  compute(tape, y, [&device, gate_up, rows, width](Elements to) {
    device.ops().swiglu(device.context(), {gate_up->value.elements(), to, rows, width});
  });
  tape.record([&device, gate_up, y, rows, width] {
    // The largest of a layer's values is read here for the last time: its memory serves for its gradient.
    const Tensor gradient = gate_up->value;
    device.ops().swiglu_backward(device.context(),
                                 {y->gradient.elements(), gate_up->value.elements(), gradient.elements(), rows, width});
    add_gradient(device, *gate_up, gradient);
  });
  return y;
}

void rope(Tape& tape, const Var& qkv, const AttentionShape& shape, const Indices& positions, const RopeAxes& axes, float theta) {
  Device& device = tape.device();
  const auto rotate = [&device, shape, positions, axes, theta](const Tensor& x, bool inverse) {
    device.ops().rope(device.context(), {x.elements(), positions, x.rows(), x.columns(), shape.heads + shape.kv_heads,
                                         shape.head_size, axes.count, axes.section_0, axes.section_1, theta, axes.restarts, inverse});
  };
  rotate(qkv->value, false);
  tape.record([qkv, rotate] { rotate(qkv->gradient, true); });
}

Var attention(Tape& tape, const Var& qkv, const AttentionShape& shape, const Segments& segments, bool causal,
              const Indices& first_queries) {
  Device& device = tape.device();
  const int64_t rows = qkv->value.rows(), count = segments.size() / 3;
  const Mirrored<int32_t> queries = first_queries.empty() ? Mirrored<int32_t>() : first_queries;
  const Var y = tape.variable(rows, shape.out_columns(), qkv->value.type());
  const Tensor log_sum_exp = device.allocate(Purpose::activations, rows, shape.heads);
  tape.ops().attention(tape.context(), {qkv->value.elements(), segments, queries, y->value.elements(), log_sum_exp.data(), count,
                                        shape.heads, shape.kv_heads, shape.head_size, shape.scale(), causal});
  tape.record([&device, qkv, y, log_sum_exp, shape, segments, first_queries, queries, causal, rows, count] {
    Tensor gradient = device.allocate(Purpose::activations, rows, shape.qkv_columns(), qkv->value.type());
    device.ops().attention_backward(
        device.context(), {y->gradient.elements(), qkv->value.elements(), y->value.elements(), log_sum_exp.data(), segments,
                           queries, gradient.elements(), count, shape.heads, shape.kv_heads, shape.head_size, shape.scale(), causal});
    add_gradient(device, *qkv, gradient);
  });
  return y;
}

Var join_rows(Tape& tape, const Var& x, int64_t count) {
  Device& device = tape.device();
  const int64_t rows = x->value.rows(), columns = x->value.columns();
  const Var y = std::make_shared<Variable>(x->value.reshape(rows / count, columns * count));
  y->constant = x->constant;
  tape.record([&device, x, y, rows, columns] {
    if (!y->constant) add_gradient(device, *x, y->gradient.reshape(rows, columns));
  });
  return y;
}

Var gather_rows(Tape& tape, const Var& x, const Indices& rows, float gradient_scale) {
  Device& device = tape.device();
  const int64_t columns = x->value.columns();
  const Var y = tape.variable(rows.size(), columns, x->value.type());
  tape.ops().gather_rows(tape.context(), {x->value.elements(), rows, y->value.elements(), rows.size(), columns});
  tape.record([&device, x, y, rows, gradient_scale, columns] {
    if (gradient_scale == 0.0f) return;
    device.ops().scatter_add_rows(device.context(),
                                  {y->gradient.elements(), rows, accumulated_gradient(device, *x).elements(), rows.size(),
                                   columns, gradient_scale});
  });
  return y;
}

}  // namespace sightline
