// cublasLtMatmul and its heuristic: refuses what cuBLASLt refuses, then queues the product on the stream.
#include <algorithm>
#include <cstring>

#include "emulator/cublaslt/descriptions.h"
#include "emulator/cublaslt/matmul.h"
#include "emulator/runtime/runtime.h"

using namespace sightline::emulator;
using namespace sightline::cuda::cublaslt;

namespace {

/** What an algorithm holds: the problem that it was chosen for and what it needs. */
struct Choice {
  uint64_t mark, problem, workspace_bytes;
  uint32_t alignment[4];
};
static_assert(sizeof(Choice) <= sizeof(MatmulAlgorithm));
constexpr uint64_t choice_mark = 0x5369676874474d4d;
/** Pointers to matrices are at least multiples of this many bytes. */
constexpr uint32_t least_alignment = 16;
constexpr uint64_t wished_workspace_bytes = 1 << 20;

/** A status other than success, and why. */
struct Refused {
  Status status;
  std::string reason;
};

template <class... Parts>
void expect(bool condition, Status status, const Parts&... parts) {
  if (!condition) throw Refused{status, sightline::concat("cublasLtMatmul: ", parts...)};
}

struct Layouts {
  const MatrixLayout *a, *b, *c, *d;
};

void check_layout(const char* name, const MatrixLayout* layout, bool is_output) {
  expect(layout != nullptr, Status::invalid_value, name, ": the layout is null");
  expect(layout->rows > 0 && layout->columns > 0, Status::invalid_value, name, ": expected rows and columns, received ",
         layout->rows, " x ", layout->columns);
  expect(layout->leading_dimension >= static_cast<int64_t>(layout->rows), Status::invalid_value, name,
         ": leading dimension: expected at least the ", layout->rows, " rows, received ", layout->leading_dimension);
  expect(layout->batch_count >= 1, Status::invalid_value, name, ": batch count: expected >= 1, received ", layout->batch_count);
  const int64_t matrix =
      static_cast<int64_t>(layout->columns - 1) * layout->leading_dimension + static_cast<int64_t>(layout->rows);
  // An input may be the same matrix for the whole batch, results may not fall together.
  const bool apart = layout->batch_count == 1 || !is_output || layout->batch_stride >= matrix ||
                     (layout->batch_stride >= static_cast<int64_t>(layout->rows) &&
                      layout->batch_stride * layout->batch_count <= layout->leading_dimension);
  expect(layout->batch_stride >= 0 && apart, Status::invalid_value, name, ": batch stride ", layout->batch_stride,
         ": matrices of the batch overlap");
}

void check(const MatmulDescription* description, const Layouts& layouts) {
  const auto& [a, b, c, d] = layouts;
  expect(description != nullptr, Status::invalid_value, "the description is null");
  check_layout("A", a, false);
  check_layout("B", b, false);
  check_layout("C", c, false);
  check_layout("D", d, true);
  expect(a->type == b->type, Status::not_supported, "A and B: expected one type");
  expect(c->type == d->type, Status::not_supported, "C and D: expected one type");
  expect(a->type == DataType::r_16bf || d->type == DataType::r_32f, Status::not_supported, "a bf16 result of fp32 operands");
  const bool transpose_a = description->transa == Transpose::transpose,
             transpose_b = description->transb == Transpose::transpose;
  const uint64_t m = transpose_a ? a->columns : a->rows, k = transpose_a ? a->rows : a->columns;
  const uint64_t n = transpose_b ? b->rows : b->columns, k_of_b = transpose_b ? b->columns : b->rows;
  expect(k == k_of_b, Status::invalid_value, "op(A) has ", k, " columns, op(B) ", k_of_b, " rows");
  expect(d->rows == m && d->columns == n, Status::invalid_value, "D: expected ", m, " x ", n, ", received ", d->rows, " x ",
         d->columns);
  expect(c->rows == m && c->columns == n, Status::invalid_value, "C: expected ", m, " x ", n, ", received ", c->rows, " x ",
         c->columns);
  expect(a->batch_count == d->batch_count && b->batch_count == d->batch_count && c->batch_count == d->batch_count,
         Status::invalid_value, "A, B, C, D: expected one batch count");
  expect(description->epilogue != Epilogue::bias || description->bias_type.value_or(d->type) == d->type, Status::not_supported,
         "bias: expected the type of D");
}

/** What distinguishes problems: an algorithm of one is refused for another. */
uint64_t fingerprint(const MatmulDescription& description, const Layouts& layouts) {
  uint64_t hash = 1469598103934665603u;
  const auto add = [&](auto value) { hash = (hash ^ static_cast<uint64_t>(value)) * 1099511628211u; };
  add(description.transa);
  add(description.transb);
  add(description.epilogue);
  for (const MatrixLayout* layout : {layouts.a, layouts.b, layouts.c, layouts.d}) {
    add(layout->type);
    add(layout->rows);
    add(layout->columns);
    add(layout->leading_dimension);
    add(layout->batch_count);
    add(layout->batch_stride);
  }
  return hash;
}

/** Runs `body`, and turns what it throws into a status. */
template <class Body>
Status refusing(Body&& body) {
  try {
    body();
    return Status::success;
  } catch (const Refused& refused) {
    thread_state().refusal = refused.reason;
    return refused.status;
  } catch (const std::exception& exception) {
    thread_state().refusal = exception.what();
    return Status::internal_error;
  }
}

MatrixView view(const void* data, const MatrixLayout& layout) {
  return {const_cast<void*>(data), layout.type, layout.rows, layout.columns, layout.leading_dimension, layout.batch_stride};
}

MemoryRange extent(const MatrixView& matrix, int32_t batch_count) {
  const std::byte* last = matrix.column(batch_count - 1, matrix.columns - 1) + matrix.rows * matrix.element_bytes();
  return {matrix.data, static_cast<size_t>(last - static_cast<const std::byte*>(matrix.data))};
}

/** Calls `visit(pointer, bytes)` for every column of every matrix. */
template <class Visit>
void for_each_column(const MatrixView& matrix, int32_t batch_count, Visit&& visit) {
  for (int32_t batch = 0; batch < batch_count; ++batch)
    for (uint64_t column = 0; column < matrix.columns; ++column)
      visit(matrix.column(batch, column), matrix.rows * matrix.element_bytes());
}

void require_readable(Device& device, const char* name, const void* pointer, size_t bytes, bool initialised) {
  const GlobalMemory& memory = device.memory().global();
  if (!memory.contains(pointer, bytes)) {
    fault(CudaError::illegal_address, "cublasLtMatmul: out_of_bounds: ", name, ": its ", bytes,
          " bytes do not lie in one allocation");
  }
  if (initialised && device.settings().checks && !memory.is_initialised(pointer, bytes)) {
    fault(CudaError::launch_failure, "cublasLtMatmul: uninitialised: ", name, " has elements that nobody has written");
  }
}

void run(Device& device, const MatmulProblem& problem, void* workspace, size_t workspace_bytes) {
  GlobalMemory& memory = device.memory().global();
  const auto read = [&](const char* name, const MatrixView& matrix) {
    const MemoryRange whole = extent(matrix, problem.batch_count);
    require_readable(device, name, whole.begin, whole.bytes, false);
    for_each_column(matrix, problem.batch_count,
                    [&](const void* pointer, size_t bytes) { require_readable(device, name, pointer, bytes, true); });
  };
  read("A", problem.a);
  read("B", problem.b);
  if (problem.beta != 0) read("C", problem.c);
  if (problem.bias != nullptr) require_readable(device, "bias", problem.bias, problem.d.rows * problem.d.element_bytes(), true);
  const MemoryRange result = extent(problem.d, problem.batch_count);
  require_readable(device, "D", result.begin, result.bytes, false);
  // The library may write its workspace and its result at any time: what overlaps them becomes NaN.
  if (workspace_bytes > 0) {
    require_readable(device, "workspace", workspace, workspace_bytes, false);
    std::memset(workspace, poison, workspace_bytes);
    const auto* allocation = memory.find(reinterpret_cast<uintptr_t>(workspace));
    std::memset(allocation->initialised.get() + (reinterpret_cast<uintptr_t>(workspace) - allocation->begin), 0,
                workspace_bytes);
  }
  if (problem.beta == 0) {
    for_each_column(problem.d, problem.batch_count, [](void* pointer, size_t bytes) { std::memset(pointer, poison, bytes); });
  }
  compute_matmul(problem);
  for_each_column(problem.d, problem.batch_count,
                  [&](const void* pointer, size_t bytes) { memory.mark_initialised(pointer, bytes); });
}

}  // namespace

SIGHTLINE_EMULATOR_API Status cublasLtMatmulAlgoGetHeuristic(Handle handle, MatmulDescription* description, MatrixLayout* a,
                                                             MatrixLayout* b, MatrixLayout* c, MatrixLayout* d,
                                                             MatmulPreference* preference, int requested,
                                                             HeuristicResult* results, int* returned) {
  return refusing([&] {
    expect(handle != nullptr, Status::not_initialized, "the handle is null");
    expect(requested >= 1 && results != nullptr && returned != nullptr && preference != nullptr, Status::invalid_value,
           "heuristic: expected a preference and room for at least one result");
    *returned = 0;
    const Layouts layouts{a, b, c, d};
    check(description, layouts);
    Choice choice{.mark = choice_mark,
                  .problem = fingerprint(*description, layouts),
                  .workspace_bytes = preference->max_workspace_bytes >= wished_workspace_bytes ? wished_workspace_bytes : 0,
                  .alignment = {}};
    std::copy_n(preference->min_alignment, 4, choice.alignment);
    for (const uint32_t alignment : choice.alignment) {
      expect(alignment >= least_alignment, Status::not_supported, "heuristic: no algorithm for pointers aligned to ", alignment,
             " bytes");
    }
    results[0] = {};
    std::memcpy(results[0].algorithm.data, &choice, sizeof choice);
    results[0].workspace_bytes = choice.workspace_bytes;
    results[0].waves_count = 1;
    *returned = 1;
  });
}

SIGHTLINE_EMULATOR_API Status cublasLtMatmul(Handle handle, MatmulDescription* description, const void* alpha, const void* a,
                                             MatrixLayout* a_layout, const void* b, MatrixLayout* b_layout, const void* beta,
                                             const void* c, MatrixLayout* c_layout, void* d, MatrixLayout* d_layout,
                                             const MatmulAlgorithm* algorithm, void* workspace, size_t workspace_bytes,
                                             Stream* stream) {
  return refusing([&] {
    expect(handle != nullptr, Status::not_initialized, "the handle is null");
    const Layouts layouts{a_layout, b_layout, c_layout, d_layout};
    check(description, layouts);
    Choice choice{.mark = choice_mark, .problem = fingerprint(*description, layouts), .workspace_bytes = 0, .alignment = {}};
    std::fill_n(choice.alignment, 4, least_alignment);
    if (algorithm != nullptr) {
      const uint64_t problem = choice.problem;
      std::memcpy(&choice, algorithm->data, sizeof choice);
      expect(choice.mark == choice_mark, Status::invalid_value, "the algorithm is none that the heuristic returned");
      expect(choice.problem == problem, Status::not_supported, "the algorithm was chosen for other layouts");
    }
    expect(workspace_bytes >= choice.workspace_bytes && (workspace != nullptr || workspace_bytes == 0), Status::invalid_value,
           "workspace: the algorithm needs ", choice.workspace_bytes, " bytes, received ", workspace_bytes);
    expect(reinterpret_cast<uintptr_t>(workspace) % 16 == 0, Status::invalid_value,
           "workspace: expected a multiple of 16 bytes");
    expect(alpha != nullptr && beta != nullptr, Status::invalid_value, "alpha or beta is null");
    float scale, carry;
    std::memcpy(&scale, alpha, sizeof scale);
    std::memcpy(&carry, beta, sizeof carry);
    const void* pointers[] = {a, b, carry != 0 ? c : d, d};
    for (int i = 0; i < 4; ++i) {
      expect(pointers[i] != nullptr, Status::invalid_value, "the pointer to ", "ABCD"[i], " is null");
      expect(reinterpret_cast<uintptr_t>(pointers[i]) % choice.alignment[i] == 0, Status::not_supported, "the pointer to ",
             "ABCD"[i], " is no multiple of ", choice.alignment[i], " bytes, which the algorithm was chosen for");
    }
    const bool has_bias = description->epilogue == Epilogue::bias;
    expect(!has_bias || description->bias != nullptr, Status::invalid_value,
           "the epilogue adds a bias, but its pointer is not set");
    expect(carry == 0 || c != d || *c_layout == *d_layout, Status::invalid_value, "C is D, but their layouts differ");
    const MatmulProblem problem{.transpose_a = description->transa == Transpose::transpose,
                                .transpose_b = description->transb == Transpose::transpose,
                                .alpha = scale,
                                .beta = carry,
                                .a = view(a, *a_layout),
                                .b = view(b, *b_layout),
                                .c = view(c, *c_layout),
                                .d = view(d, *d_layout),
                                .batch_count = d_layout->batch_count,
                                .bias = has_bias ? description->bias : nullptr};
    Operation operation{.name = "cublasLtMatmul", .run = {}, .ready = {}, .uses = {}};
    for (const MatrixView& matrix : {problem.a, problem.b, problem.d})
      operation.uses.push_back(extent(matrix, problem.batch_count));
    if (carry != 0) operation.uses.push_back(extent(problem.c, problem.batch_count));
    if (has_bias) operation.uses.push_back({problem.bias, 1});
    const size_t used_workspace = choice.workspace_bytes;
    if (used_workspace > 0) operation.uses.push_back({workspace, used_workspace});
    const CudaError error = on_device([&](Device& device) {
      operation.run = [&device, problem, workspace, used_workspace] { run(device, problem, workspace, used_workspace); };
      device.submit(device.stream(stream), std::move(operation));
      ++device.calls().products;
    });
    if (error != CudaError::success) throw Refused{Status::execution_failed, thread_state().refusal};
  });
}
