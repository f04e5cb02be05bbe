#include "engine/tensor_copy.h"

#include <algorithm>
#include <memory>

#include "core/error.h"
#include "io/safetensors_writer.h"
#include "io/stored_floats.h"
#include "io/tensor_search.h"
#include "ops/cpu_device.h"

namespace sightline {
namespace {

/** Elements of W that are updated at a time, unless a single row has more. */
constexpr int64_t piece_elements = int64_t{1} << 22;

/** Every file once, open for as long as the object lives. */
class Files {
 public:
  /** Null where the file has no such tensor. */
  const TensorInfo* find(const TensorSource& source) { return open(source.file).find(source.name); }
  FoundTensor at(const TensorSource& source) {
    const SafetensorsReader& reader = open(source.file);
    return {&reader, reader.find(source.name)};
  }

 private:
  const SafetensorsReader& open(const std::string& path) {
    std::unique_ptr<SafetensorsReader>& reader = readers_[path];
    if (!reader) reader = std::make_unique<SafetensorsReader>(path);
    return *reader;
  }

  std::map<std::string, std::unique_ptr<SafetensorsReader>> readers_;
};

Dtype type_of(const CopiedTensor& copied, const TensorInfo& source) { return copied.type.value_or(source.dtype); }

/** A line for everything about one tensor that keeps it from being written. */
std::string problems_of(Files& files, const CopiedTensor& copied) {
  std::string problems;
  const auto find = [&](const TensorSource& source, bool of_floats) {
    const TensorInfo* tensor = files.find(source);
    if (!tensor)
      problems += concat("\n  missing: ", quote_name(source.name), " in ", source.file);
    else if (of_floats && !holds_floats(tensor->dtype))
      problems += concat("\n  not of floats: ", quote_name(source.name), " is ", dtype_name(tensor->dtype));
    return tensor;
  };
  const TensorInfo* w = find(copied.source, copied.update || copied.type);
  if (!copied.update) return problems;
  const TensorInfo *a = find(copied.update->a, true), *b = find(copied.update->b, true);
  if (!problems.empty()) return problems;
  if (type_of(copied, *w) == Dtype::f64)
    problems += concat("\n  not to be updated: ", quote_name(w->name), " is F64, expected F32, F16 or BF16");
  const bool fits = w->shape.size() == 2 && a->shape.size() == 2 && b->shape.size() == 2 && a->shape[1] == w->shape[1] &&
                    b->shape[0] == w->shape[0] && a->shape[0] == b->shape[1] && a->element_count() > 0 && b->element_count() > 0;
  if (!fits)
    problems += concat("\n  misshaped: ", quote_name(w->name), " is ", print_shape(w->shape), ", ", quote_name(a->name), " is ",
                       print_shape(a->shape), ", ", quote_name(b->name), " is ", print_shape(b->shape),
                       "; expected (out, in), (r, in) and (out, r)");
  return problems;
}

std::vector<float> read_whole(const FoundTensor& tensor) {
  std::vector<float> values(tensor.tensor->element_count());
  load_floats(tensor.bytes().data(), tensor.tensor->dtype, values.data(), values.size());
  return values;
}

void write_converted(const FoundTensor& from, Dtype type, const WriteBytes& write) {
  std::vector<char> stored;
  read_rows(from, 1, [&](int64_t, int64_t count, const float* values) {
    stored.resize(static_cast<uint64_t>(count) * dtype_size(type));
    store_floats(values, type, stored.data(), static_cast<uint64_t>(count));
    write(stored.data(), stored.size());
  });
}

void write_updated(CpuDevice& device, const FoundTensor& w, const FoundTensor& a, const FoundTensor& b, float scale, Dtype type,
                   const WriteBytes& write) {
  const auto out = static_cast<int64_t>(w.tensor->shape[0]), in = static_cast<int64_t>(w.tensor->shape[1]);
  const auto rank = static_cast<int64_t>(a.tensor->shape[0]);
  const std::vector<float> a_values = read_whole(a), b_values = read_whole(b);
  const uint64_t row_bytes = static_cast<uint64_t>(in) * dtype_size(w.tensor->dtype);
  const int64_t rows_at_once = std::min(out, std::max<int64_t>(1, piece_elements / in));
  std::vector<float> piece(static_cast<size_t>(rows_at_once * in));
  std::vector<char> stored(piece.size() * dtype_size(type));
  for (int64_t first = 0; first < out; first += rows_at_once) {
    const int64_t rows = std::min(rows_at_once, out - first);
    const auto elements = static_cast<uint64_t>(rows * in);
    load_floats(w.bytes().data() + static_cast<uint64_t>(first) * row_bytes, w.tensor->dtype, piece.data(), elements);
    device.ops().matmul(device.context(), {.a = b_values.data() + first * rank, .a_row_stride = rank, .a_column_stride = 1,
                                           .b = a_values.data(), .b_row_stride = in, .b_column_stride = 1, .packed_b = nullptr,
                                           .c = piece.data(), .c_row_stride = in, .bias = nullptr,
                                           .addend = piece.data(), .addend_row_stride = in,
                                           .m = rows, .n = in, .k = rank, .alpha = scale, .accumulate = false,
                                           .precision = Precision::fp32});
    store_floats(piece.data(), type, stored.data(), elements);
    write(stored.data(), elements * dtype_size(type));
  }
}

}  // namespace

void copy_tensors(const std::string& path, const std::vector<CopiedTensor>& tensors,
                  const std::map<std::string, std::string>& metadata, int threads) {
  Files files;
  std::string problems;
  for (const CopiedTensor& copied : tensors) problems += problems_of(files, copied);
  if (!problems.empty()) fail(ErrorCode::format, path, ": cannot be made:", problems);
  CpuDevice device(select_isa(""), threads, 0);
  std::vector<TensorToWrite> to_write;
  for (const CopiedTensor& copied : tensors) {
    const FoundTensor from = files.at(copied.source);
    const Dtype type = type_of(copied, *from.tensor);
    to_write.push_back({copied.name, type, {from.tensor->shape.begin(), from.tensor->shape.end()},
                        [&files, &device, &copied, from, type](const WriteBytes& write) {
                          if (const auto& update = copied.update) {
                            write_updated(device, from, files.at(update->a), files.at(update->b), update->scale, type, write);
                          } else if (type != from.tensor->dtype) {
                            write_converted(from, type, write);
                          } else {
                            write(from.bytes().data(), from.bytes().size());
                          }
                          from.file->release(*from.tensor);
                        }});
  }
  write_safetensors(path, to_write, metadata);
}

}  // namespace sightline
