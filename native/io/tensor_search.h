#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "io/safetensors_reader.h"

namespace sightline {

/** A tensor that a set of files has to hold. */
struct WantedTensor {
  /** In the files; empty: nobody knows. */
  std::string name;
  /** What it is wanted for, where that has another name; for messages. */
  std::string purpose;
  std::vector<int64_t> shape;
  /** Whether another shape with as many elements will do. */
  bool any_shape = false;
};

/** Where a tensor lies. */
struct FoundTensor {
  const SafetensorsReader* file;
  const TensorInfo* tensor;

  std::string_view bytes() const { return file->bytes(*tensor); }
};

/** "(2, 3)" */
std::string print_shape(const auto& shape) {
  std::string text = "(";
  for (const auto extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + ")";
}

/**
 * Several safetensors files as one set of tensors, and a list of everything that is wrong with it, so that a caller can look for tensors
 * in several sets and then report all problems together.
 */
class TensorSearch {
 public:
  /** @throws io, format for a file that is no safetensors file */
  explicit TensorSearch(const std::vector<std::string>& files);
  /** Of files that are open already. */
  explicit TensorSearch(std::vector<std::unique_ptr<SafetensorsReader>> readers);

  /** Whether any file has a tensor of that name. */
  bool has(const std::string& name) const { return tensors_.contains(name); }

  /**
   * Finds every wanted tensor. Others must be in `ignored` or `copies`.
   *
   * @param copies    tensors that may be there and then must have the same type and bytes as another one, by its name
   * @param problems  gets a line for each that is missing, unexpected, misshaped, not of floats, or there twice
   * @return as many as `wanted`; meaningless where there were problems
   */
  std::vector<FoundTensor> find(const std::vector<WantedTensor>& wanted, const std::set<std::string>& ignored,
                                const std::map<std::string, std::string>& copies, std::string& problems) const;

 private:
  void index();

  std::vector<std::unique_ptr<SafetensorsReader>> readers_;
  std::map<std::string, std::vector<FoundTensor>, std::less<>> tensors_;
};

/**
 * Converts a tensor to fp32 piece by piece, so that a large one is never held as a whole.
 *
 * @param row_elements  pieces hold whole rows of this many elements, of which the tensor has a whole number
 * @param take          gets the first row of each piece, its number of rows, and the numbers
 */
void read_rows(const FoundTensor& from, int64_t row_elements,
               const std::function<void(int64_t first_row, int64_t rows, const float* values)>& take);

}  // namespace sightline
