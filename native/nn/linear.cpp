#include "nn/linear.h"

#include <cmath>
#include <utility>

#include "core/error.h"

namespace sightline {
namespace {

/** c (M, N) = alpha * x w, or added to c: x (M, K) rows x_row_stride apart, c rows c_row_stride apart. */
MatmulArgs times(const Device& device, ConstElements x, int64_t x_row_stride, int64_t m, int64_t k, const MatmulOperand& w,
                 int64_t n, Elements c, int64_t c_row_stride, float alpha, bool accumulate) {
  return {x, x_row_stride, 1, w.b, w.b_row_stride, w.b_column_stride, w.packed_b, c, c_row_stride, nullptr, nullptr, 0,
          m, n, k, alpha, accumulate, device.precision()};
}

/** c (M, N) += alpha * x^T y: x (K, M) rows x_row_stride apart, y (K, N). */
MatmulArgs transposed_times(const Device& device, ConstElements x, int64_t x_row_stride, int64_t m, const Tensor& y,
                            const Tensor& c, float alpha) {
  return {x, 1, x_row_stride, y.elements(), y.columns(), 1, nullptr, c.elements(), c.columns(), nullptr, nullptr, 0,
          m, y.columns(), y.rows(), alpha, true, device.precision()};
}

/** What an adapter drops of x (N, C) on its way to y. */
DropoutArgs drop(const Tensor& x, const Tensor& y, const RowKeys& keys, int64_t adapter, float rate, bool accumulate) {
  if (keys.positions.size() != x.rows())
    fail(ErrorCode::internal, "Linear: expected the keys of ", x.rows(), " rows, received those of ", keys.positions.size());
  return {x.elements(), y.elements(), keys.keys, keys.positions, x.rows(), x.columns(), adapter, rate, accumulate};
}

}  // namespace

namespace {

/** Packs W, or its transpose, into `packed`, which is allocated if there is none. */
void pack(Device& device, const Tensor& weight, bool transposed, std::shared_ptr<Storage>& packed) {
  const int64_t rows = weight.rows(), columns = weight.columns();
  const int64_t k = transposed ? columns : rows, n = transposed ? rows : columns;
  if (!packed) packed = device.arena().allocate(static_cast<size_t>(device.packed_bytes(k, n)), Purpose::workspace);
  device.ops().pack_matrix(device.context(), {weight.elements(), transposed ? 1 : columns, transposed ? columns : 1,
                                              packed->data(), k, n, device.precision()});
}

}  // namespace

std::shared_ptr<Storage> pack_for_backward(Device& device, const Tensor& weight) {
  std::shared_ptr<Storage> packed;
  if (!device.reads_weights_in_place()) pack(device, weight, false, packed);
  return packed;
}

const void* WeightOperand::copy(Device& device, const ParameterSet& parameters, const ParameterSet::Block& weight, bool transposed) {
  if (const uint64_t version = parameters.version(weight); version_ != version) {
    pack(device, weight.value, transposed, copy_);
    version_ = version;
  }
  return copy_->data();
}

MatmulOperand WeightOperand::forward(Device& device, const ParameterSet& parameters, const ParameterSet::Block& weight) {
  if (!device.reads_weights_in_place()) return {nullptr, 0, 0, copy(device, parameters, weight, true)};
  MatmulOperand operand = backward(device, parameters, weight);
  std::swap(operand.b_row_stride, operand.b_column_stride);
  return operand;
}

MatmulOperand WeightOperand::backward(Device& device, const ParameterSet& parameters, const ParameterSet::Block& weight) {
  const Tensor& w = weight.value;
  // Packed in this direction, a matrix keeps its order: on a device that reads in place it only changes its type.
  const bool as_stored = !device.reads_weights_in_place() || w.type() == device.operand_type();
  const ConstElements b = as_stored ? ConstElements(w.elements())
                                    : ConstElements(copy(device, parameters, weight, false), device.operand_type());
  return {b, w.columns(), 1, nullptr};
}

Linear::Linear(ParameterSet& parameters, const std::vector<Part>& parts, const Options& options)
    : parameters_(parameters), keeps_fp32_(options.keeps_fp32) {
  int64_t out = 0;
  for (const Part& part : parts) out += part.out;
  weight_ = parameters.allocate_matrix(options.component, out, options.in);
  if (options.bias) bias_ = parameters.allocate(options.component, out, 1);
  int64_t first = 0;
  for (const Part& part : parts) {
    parameters.add(part.name + ".weight", {part.out, options.in}, options.component, weight_, first,
                   Initializer::normal(options.initial_deviation));
    if (options.bias)
      parameters.add(part.name + ".bias", {part.out}, options.component, bias_, first, Initializer::constant(0));
    if (const LoraSpec* lora = options.adaptable ? parameters.lora(options.component, part.name) : nullptr) {
      Adapter adapter{first, part.out, lora->alpha / static_cast<float>(lora->rank), lora->dropout, parameters.number_adapter(),
                      parameters.allocate_adapter(lora->rank, options.in),
                      parameters.allocate_adapter(part.out, lora->rank), {}, {}};
      const float bound = 1.0f / std::sqrt(static_cast<float>(options.in));
      parameters.add(part.name + ".lora_A.weight", {lora->rank, options.in}, options.component, adapter.a, 0,
                     Initializer::uniform(bound));
      parameters.add(part.name + ".lora_B.weight", {part.out, lora->rank}, options.component, adapter.b, 0,
                     Initializer::constant(0));
      adapters_.push_back(std::move(adapter));
    }
    first += part.out;
  }
}

Tensor Linear::input_of(Device& device, const Adapter& adapter, const Tensor& x, const RowKeys& keys) {
  if (adapter.dropout == 0.0f) return x;
  Tensor kept = device.allocate(Purpose::activations, x.rows(), x.columns(), x.type());
  device.ops().dropout(device.context(), drop(x, kept, keys, adapter.number, adapter.dropout, false));
  return kept;
}

Var Linear::forward(Tape& tape, const Var& x, const Var& residual, const RowKeys& keys) {
  Device& device = tape.device();
  const int64_t rows = x->value.rows();
  x->restore();
  const DType type = residual || keeps_fp32_ ? DType::f32 : device.operand_type();
  const Var y = tape.variable(rows, out(), type);
  const int64_t in = x->value.columns();
  MatmulArgs product = times(device, x->value.elements(), in, rows, in, operand_.forward(device, parameters_, weight_),
                             out(), y->value.elements(), out(), 1.0f, false);
  if (bias_.value) product.bias = bias_.value.data();
  if (residual) {
    product.addend = residual->value.elements();
    product.addend_row_stride = out();
  }
  tape.ops().matmul(tape.context(), product);

  std::vector<Tensor> projections;  // d(x) A^T of each adapter
  for (Adapter& adapter : adapters_) {
    const int64_t rank = adapter.a.value.rows();
    const Tensor input = input_of(device, adapter, x->value, keys);
    Tensor projection = device.allocate(Purpose::activations, rows, rank, device.operand_type());
    tape.ops().matmul(tape.context(), times(device, input.elements(), in, rows, in,
                                            adapter.operand_a.forward(device, parameters_, adapter.a), rank,
                                            projection.elements(), rank, 1.0f, false));
    tape.ops().matmul(tape.context(), times(device, projection.elements(), rank, rows, rank,
                                            adapter.operand_b.forward(device, parameters_, adapter.b), adapter.out,
                                            y->value.elements().at(adapter.first_column), out(), adapter.scale, true));
    projections.push_back(std::move(projection));
  }

  x->drop_if_cheap();
  tape.record([this, &device, x, y, residual, projections = std::move(projections), keys] {
    backward(device, x, y, projections, keys);
    if (residual) add_gradient(device, *residual, y->gradient);
  });
  return y;
}

void Linear::prepare(Device& device) {
  operand_.forward(device, parameters_, weight_);
  for (Adapter& adapter : adapters_) {
    adapter.operand_a.forward(device, parameters_, adapter.a);
    adapter.operand_b.forward(device, parameters_, adapter.b);
  }
}

void Linear::backward(Device& device, const Var& x, const Var& y, const std::vector<Tensor>& projections, const RowKeys& keys) {
  const OpTable& ops = device.ops();
  ExecutionContext& context = device.context();
  const Tensor& dy = y->gradient;
  const int64_t rows = dy.rows(), in = x->value.columns();
  if (weight_.gradient || !adapters_.empty()) x->restore();
  if (weight_.gradient)
    ops.matmul(context, transposed_times(device, dy.elements(), out(), out(), x->value, weight_.gradient, 1.0f));
  if (bias_.gradient) ops.sum_rows(context, {dy.elements(), bias_.gradient.data(), rows, out()});

  std::vector<Tensor> dprojections;
  for (size_t i = 0; i < adapters_.size(); ++i) {
    Adapter& adapter = adapters_[i];
    const ConstElements dpart = dy.elements().at(adapter.first_column);
    const int64_t rank = adapter.a.value.rows();
    ops.matmul(context, transposed_times(device, dpart, out(), adapter.out, projections[i], adapter.b.gradient, adapter.scale));
    Tensor dprojection = device.allocate(Purpose::activations, rows, rank, device.operand_type());
    ops.matmul(context, times(device, dpart, out(), rows, adapter.out, adapter.operand_b.backward(device, parameters_, adapter.b),
                              rank, dprojection.elements(), rank, adapter.scale, false));
    const Tensor input = input_of(device, adapter, x->value, keys);
    ops.matmul(context, transposed_times(device, dprojection.elements(), rank, rank, input, adapter.a.gradient, 1.0f));
    dprojections.push_back(std::move(dprojection));
  }

  // Before its gradient needs as much memory.
  x->drop_if_cheap();
  if (x->constant) return;
  const bool first = !x->gradient;
  if (first) x->gradient = device.allocate(Purpose::activations, rows, in, x->value.type());
  ops.matmul(context, times(device, dy.elements(), out(), rows, out(), operand_.backward(device, parameters_, weight_), in,
                            x->gradient.elements(), in, 1.0f, !first));
  for (size_t i = 0; i < adapters_.size(); ++i) {
    Adapter& adapter = adapters_[i];
    const int64_t rank = dprojections[i].columns();
    const bool drops = adapter.dropout > 0.0f;
    const Tensor dinput = drops ? device.allocate(Purpose::activations, rows, in, x->gradient.type()) : x->gradient;
    ops.matmul(context, times(device, dprojections[i].elements(), rank, rows, rank,
                              adapter.operand_a.backward(device, parameters_, adapter.a), in, dinput.elements(), in, 1.0f, !drops));
    if (drops) ops.dropout(context, drop(dinput, x->gradient, keys, adapter.number, adapter.dropout, true));
  }
}

}  // namespace sightline
