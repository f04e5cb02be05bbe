#include "io/tensor_search.h"

#include <algorithm>

#include "core/error.h"
#include "io/stored_floats.h"

namespace sightline {
namespace {

/** Elements of fp32 that `read_rows` holds at a time, unless a single row has more. */
constexpr int64_t piece_elements = int64_t{1} << 20;

bool same_shape(const TensorInfo& tensor, const std::vector<int64_t>& shape) {
  return std::equal(tensor.shape.begin(), tensor.shape.end(), shape.begin(), shape.end(),
                    [](uint64_t a, int64_t b) { return a == static_cast<uint64_t>(b); });
}

uint64_t element_count(const std::vector<int64_t>& shape) {
  uint64_t count = 1;
  for (const int64_t extent : shape) count *= static_cast<uint64_t>(extent);
  return count;
}

}  // namespace

TensorSearch::TensorSearch(const std::vector<std::string>& files) {
  for (const std::string& file : files) readers_.push_back(std::make_unique<SafetensorsReader>(file));
  index();
}

TensorSearch::TensorSearch(std::vector<std::unique_ptr<SafetensorsReader>> readers) : readers_(std::move(readers)) { index(); }

void TensorSearch::index() {
  for (const auto& reader : readers_)
    for (const TensorInfo& tensor : reader->tensors()) tensors_[tensor.name].push_back({reader.get(), &tensor});
}

std::vector<FoundTensor> TensorSearch::find(const std::vector<WantedTensor>& wanted, const std::set<std::string>& ignored,
                                            const std::map<std::string, std::string>& copies, std::string& problems) const {
  std::vector<FoundTensor> found(wanted.size());
  std::set<std::string_view> known;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const WantedTensor& want = wanted[i];
    known.insert(want.name);
    const std::string purpose = want.purpose.empty() || want.purpose == want.name ? "" : ", which is " + want.purpose;
    const auto at = tensors_.find(want.name);
    if (at == tensors_.end()) {
      problems += concat("\n  missing: ", want.name.empty() ? want.purpose : want.name, " ", print_shape(want.shape),
                         want.name.empty() ? "" : purpose);
      continue;
    }
    found[i] = at->second.front();
    const TensorInfo& tensor = *found[i].tensor;
    const bool fits = want.any_shape ? tensor.element_count() == element_count(want.shape) : same_shape(tensor, want.shape);
    if (!fits)
      problems += concat("\n  misshaped: ", want.name, " is ", print_shape(tensor.shape), ", expected ", print_shape(want.shape),
                         want.any_shape ? " or as many elements" : "", purpose);
    if (!holds_floats(tensor.dtype))
      problems += concat("\n  not of floats: ", want.name, " is ", dtype_name(tensor.dtype), ", expected F32, F64, F16 or BF16", purpose);
  }
  for (const auto& [name, places] : tensors_) {
    if (places.size() > 1)
      problems += concat("\n  twice: ", quote_name(name), " in ", places[0].file->path(), " and ", places[1].file->path());
    if (known.contains(name) || ignored.contains(name)) continue;
    const TensorInfo& tensor = *places.front().tensor;
    const auto copy = copies.find(name);
    if (copy == copies.end()) {
      problems += concat("\n  unexpected: ", quote_name(name), " ", print_shape(tensor.shape));
      continue;
    }
    const auto original = tensors_.find(copy->second);
    if (original == tensors_.end()) continue;  // which is missing, then
    const FoundTensor& other = original->second.front();
    if (tensor.dtype != other.tensor->dtype || places.front().bytes() != other.bytes())
      problems += concat("\n  not a copy: ", quote_name(name), " differs from ", quote_name(copy->second), ", to which it is tied");
  }
  return found;
}

void read_rows(const FoundTensor& from, int64_t row_elements,
               const std::function<void(int64_t, int64_t, const float*)>& take) {
  const auto count = static_cast<int64_t>(from.tensor->element_count());
  if (count == 0) return;
  const int64_t rows = count / row_elements, rows_at_once = std::max<int64_t>(1, piece_elements / row_elements);
  const auto row_bytes = static_cast<size_t>(row_elements) * dtype_size(from.tensor->dtype);
  std::vector<float> piece(static_cast<size_t>(std::min(rows, rows_at_once) * row_elements));
  for (int64_t first = 0; first < rows; first += rows_at_once) {
    const int64_t now = std::min(rows_at_once, rows - first);
    load_floats(from.bytes().data() + static_cast<size_t>(first) * row_bytes, from.tensor->dtype, piece.data(),
                static_cast<uint64_t>(now * row_elements));
    take(first, now, piece.data());
  }
  from.file->release(*from.tensor);
}

}  // namespace sightline
