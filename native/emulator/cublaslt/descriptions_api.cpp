// cuBLASLt's handles, descriptions, layouts and preferences.
#include <cstring>

#include "emulator/cublaslt/descriptions.h"
#include "emulator/runtime/api_types.h"

using namespace sightline::cuda::cublaslt;

namespace {

template <class Value>
Status read(Value& to, const void* value, size_t bytes) {
  if (value == nullptr || bytes != sizeof(Value)) return Status::invalid_value;
  std::memcpy(&to, value, sizeof(Value));
  return Status::success;
}

/** An attribute of which the stand-in knows a single value. */
template <class Value>
Status require_only(Value only, const void* value, size_t bytes) {
  Value given{};
  if (const Status status = read(given, value, bytes); status != Status::success) return status;
  return given == only ? Status::success : Status::not_supported;
}

bool is_known(DataType type) { return type == DataType::r_32f || type == DataType::r_16bf; }

template <class Item>
Status destroy(Item* item) {
  delete item;
  return Status::success;
}

}  // namespace

SIGHTLINE_EMULATOR_API size_t cublasLtGetVersion() { return 130000; }

SIGHTLINE_EMULATOR_API Status cublasLtCreate(Handle* handle) {
  if (handle == nullptr) return Status::invalid_value;
  *handle = new Context;
  return Status::success;
}

SIGHTLINE_EMULATOR_API Status cublasLtDestroy(Handle handle) {
  return handle == nullptr ? Status::not_initialized : destroy(handle);
}

SIGHTLINE_EMULATOR_API Status cublasLtMatmulDescCreate(MatmulDescription** description, ComputeType compute, DataType scale) {
  if (description == nullptr) return Status::invalid_value;
  if (compute != ComputeType::f32 || scale != DataType::r_32f) return Status::not_supported;
  *description = new MatmulDescription;
  return Status::success;
}

SIGHTLINE_EMULATOR_API Status cublasLtMatmulDescDestroy(MatmulDescription* description) { return destroy(description); }

SIGHTLINE_EMULATOR_API Status cublasLtMatmulDescSetAttribute(MatmulDescription* description, MatmulAttribute attribute,
                                                             const void* value, size_t bytes) {
  if (description == nullptr) return Status::invalid_value;
  const auto read_transpose = [&](Transpose& to) {
    Transpose given{};
    if (const Status status = read(given, value, bytes); status != Status::success) return status;
    if (given != Transpose::none && given != Transpose::transpose) return Status::not_supported;
    to = given;
    return Status::success;
  };
  switch (attribute) {
    case MatmulAttribute::compute_type: return require_only(ComputeType::f32, value, bytes);
    case MatmulAttribute::scale_type: return require_only(DataType::r_32f, value, bytes);
    case MatmulAttribute::pointer_mode: return require_only(int32_t{0}, value, bytes);  // alpha and beta in host memory
    case MatmulAttribute::transa: return read_transpose(description->transa);
    case MatmulAttribute::transb: return read_transpose(description->transb);
    case MatmulAttribute::epilogue: {
      Epilogue epilogue{};
      if (const Status status = read(epilogue, value, bytes); status != Status::success) return status;
      if (epilogue != Epilogue::none && epilogue != Epilogue::bias) return Status::not_supported;
      description->epilogue = epilogue;
      return Status::success;
    }
    case MatmulAttribute::bias_pointer: return read(description->bias, value, bytes);
    case MatmulAttribute::bias_data_type: {
      DataType type{};
      if (const Status status = read(type, value, bytes); status != Status::success) return status;
      description->bias_type = type;
      return Status::success;
    }
  }
  return Status::not_supported;
}

SIGHTLINE_EMULATOR_API Status cublasLtMatrixLayoutCreate(MatrixLayout** layout, DataType type, uint64_t rows, uint64_t columns,
                                                         int64_t leading_dimension) {
  if (layout == nullptr) return Status::invalid_value;
  if (!is_known(type)) return Status::not_supported;
  *layout = new MatrixLayout{type, rows, columns, leading_dimension};
  return Status::success;
}

SIGHTLINE_EMULATOR_API Status cublasLtMatrixLayoutDestroy(MatrixLayout* layout) { return destroy(layout); }

SIGHTLINE_EMULATOR_API Status cublasLtMatrixLayoutSetAttribute(MatrixLayout* layout, LayoutAttribute attribute,
                                                               const void* value, size_t bytes) {
  if (layout == nullptr) return Status::invalid_value;
  switch (attribute) {
    case LayoutAttribute::type: {
      DataType type{};
      if (const Status status = read(type, value, bytes); status != Status::success) return status;
      if (!is_known(type)) return Status::not_supported;
      layout->type = type;
      return Status::success;
    }
    case LayoutAttribute::order: return require_only(Order::column, value, bytes);
    case LayoutAttribute::rows: return read(layout->rows, value, bytes);
    case LayoutAttribute::columns: return read(layout->columns, value, bytes);
    case LayoutAttribute::leading_dimension: return read(layout->leading_dimension, value, bytes);
    case LayoutAttribute::batch_count: return read(layout->batch_count, value, bytes);
    case LayoutAttribute::strided_batch_offset: return read(layout->batch_stride, value, bytes);
  }
  return Status::not_supported;
}

SIGHTLINE_EMULATOR_API Status cublasLtMatmulPreferenceCreate(MatmulPreference** preference) {
  if (preference == nullptr) return Status::invalid_value;
  *preference = new MatmulPreference;
  return Status::success;
}

SIGHTLINE_EMULATOR_API Status cublasLtMatmulPreferenceDestroy(MatmulPreference* preference) { return destroy(preference); }

SIGHTLINE_EMULATOR_API Status cublasLtMatmulPreferenceSetAttribute(MatmulPreference* preference, PreferenceAttribute attribute,
                                                                   const void* value, size_t bytes) {
  if (preference == nullptr) return Status::invalid_value;
  switch (attribute) {
    case PreferenceAttribute::max_workspace_bytes: return read(preference->max_workspace_bytes, value, bytes);
    case PreferenceAttribute::min_alignment_a_bytes: return read(preference->min_alignment[0], value, bytes);
    case PreferenceAttribute::min_alignment_b_bytes: return read(preference->min_alignment[1], value, bytes);
    case PreferenceAttribute::min_alignment_c_bytes: return read(preference->min_alignment[2], value, bytes);
    case PreferenceAttribute::min_alignment_d_bytes: return read(preference->min_alignment[3], value, bytes);
    case PreferenceAttribute::reduction_scheme_mask: {
      // Algorithms here do not split sums, so any mask is met.
      uint32_t mask = 0;
      return read(mask, value, bytes);
    }
    case PreferenceAttribute::search_mode: break;
  }
  return Status::not_supported;
}
