#include "cuda/products.h"

#include "core/error.h"
#include "cuda/cublaslt_library.h"

namespace sightline::cuda {
namespace {

using namespace cublaslt;

DataType data_type(DType type) { return type == DType::bf16 ? DataType::r_16bf : DataType::r_32f; }
const char* type_name(DType type) { return type == DType::bf16 ? "bf16" : "fp32"; }

void expect(Status status, const char* what) {
  if (status == Status::success) return;
  fail(status == Status::alloc_failed ? ErrorCode::out_of_memory : ErrorCode::internal, "cuBLASLt: ", what, ": ",
       status_name(status));
}

/** A cuBLASLt object that its library must free. */
template <class T>
class Owned {
 public:
  explicit Owned(Status (*destroy)(T*)) : destroy_(destroy) {}
  ~Owned() {
    if (object_ != nullptr) destroy_(object_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  T** place() { return &object_; }
  T* get() const { return object_; }

 private:
  Status (*destroy_)(T*);
  T* object_ = nullptr;
};

}  // namespace

/** One shape as cuBLASLt knows it. */
struct Products::Plan {
  explicit Plan(const Functions& functions)
      : description(functions.matmul_desc_destroy),
        a(functions.matrix_layout_destroy),
        b(functions.matrix_layout_destroy),
        d(functions.matrix_layout_destroy) {}

  Owned<MatmulDescription> description;
  /** C's layout is D's. */
  Owned<MatrixLayout> a, b, d;
  MatmulAlgorithm algorithm{};
};

Products::Products(Arena& arena) : functions_(functions()) {
  workspace_ = arena.allocate(workspace_bytes, Purpose::workspace);
  expect(functions_.create(&handle_), "creating a handle");
}

Products::~Products() {
  plans_.clear();
  functions_.destroy(handle_);
}

const Products::Plan& Products::plan(const ProductShape& s, const float* bias) {
  if (const auto known = plans_.find(s); known != plans_.end()) return *known->second;

  auto plan = std::make_unique<Plan>(functions_);
  expect(functions_.matmul_desc_create(plan->description.place(), ComputeType::f32, DataType::r_32f), "describing a product");
  const auto set = [&](MatmulAttribute attribute, const auto& value) {
    expect(functions_.matmul_desc_set_attribute(plan->description.get(), attribute, &value, sizeof value), "describing a product");
  };
  set(MatmulAttribute::transa, s.a_transposed ? Transpose::transpose : Transpose::none);
  set(MatmulAttribute::transb, s.b_transposed ? Transpose::transpose : Transpose::none);
  if (s.has_bias) {
    set(MatmulAttribute::epilogue, Epilogue::bias);
    set(MatmulAttribute::bias_pointer, bias);
  }
  const auto lay_out = [&](Owned<MatrixLayout>& layout, DType type, bool transposed, int64_t rows, int64_t columns, int64_t stride) {
    if (transposed) std::swap(rows, columns);
    expect(functions_.matrix_layout_create(layout.place(), data_type(type), static_cast<uint64_t>(rows),
                                           static_cast<uint64_t>(columns), stride),
           "describing a matrix");
  };
  lay_out(plan->a, s.operands, s.a_transposed, s.rows, s.depth, s.a_stride);
  lay_out(plan->b, s.operands, s.b_transposed, s.depth, s.columns, s.b_stride);
  lay_out(plan->d, s.result, false, s.rows, s.columns, s.d_stride);

  Owned<MatmulPreference> preference(functions_.matmul_preference_destroy);
  expect(functions_.matmul_preference_create(preference.place()), "describing a preference");
  const auto prefer = [&](PreferenceAttribute attribute, const auto& value) {
    expect(functions_.matmul_preference_set_attribute(preference.get(), attribute, &value, sizeof value), "describing a preference");
  };
  prefer(PreferenceAttribute::max_workspace_bytes, uint64_t{workspace_bytes});
  prefer(PreferenceAttribute::min_alignment_a_bytes, s.a_alignment);
  prefer(PreferenceAttribute::min_alignment_b_bytes, s.b_alignment);
  prefer(PreferenceAttribute::min_alignment_c_bytes, s.c_alignment);
  prefer(PreferenceAttribute::min_alignment_d_bytes, s.d_alignment);

  HeuristicResult best{};
  int found = 0;
  const Status status =
      functions_.matmul_algo_get_heuristic(handle_, plan->description.get(), plan->a.get(), plan->b.get(), plan->d.get(),
                                           plan->d.get(), preference.get(), 1, &best, &found);
  if (status != Status::success || found == 0 || best.state != Status::success)
    fail(ErrorCode::internal, "cuBLASLt: choosing an algorithm for the product (", s.columns, ", ", s.depth, ") x (", s.depth,
         ", ", s.rows, ") of ", type_name(s.operands), " to ", type_name(s.result), ": ",
         status_name(status != Status::success ? status : found == 0 ? Status::not_supported : best.state));
  plan->algorithm = best.algorithm;
  if (plans_.size() >= most_plans) plans_.clear();
  return *plans_.emplace(s, std::move(plan)).first->second;
}

void Products::multiply(const ProductShape& shape, float alpha, const ProductArrays& arrays, cudaStream_t stream) {
  const Plan& p = plan(shape, arrays.bias);
  if (shape.has_bias)
    expect(functions_.matmul_desc_set_attribute(p.description.get(), MatmulAttribute::bias_pointer, &arrays.bias,
                                                sizeof arrays.bias),
           "describing a product");
  const float beta = shape.has_addend ? 1.0f : 0.0f;
  expect(functions_.matmul(handle_, p.description.get(), &alpha, arrays.a, p.a.get(), arrays.b, p.b.get(), &beta, arrays.c,
                           p.d.get(), arrays.d, p.d.get(), &p.algorithm, workspace_->data(), workspace_bytes, stream),
         "multiplying");
}

}  // namespace sightline::cuda
