#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "io/safetensors_header.h"

namespace sightline {

/** Takes the next `bytes` bytes of a tensor. */
using WriteBytes = std::function<void(const void* data, uint64_t bytes)>;

/** One tensor to write. */
struct TensorToWrite {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  /**
   * Hands all of its bytes, row-major and little endian, to the function that it is given, in one piece or several. Called once, when
   * the tensor's turn comes, so that no more than one needs to be held at a time.
   */
  std::function<void(const WriteBytes&)> write;
};

/**
 * The `write` of a tensor that is made as fp32.
 *
 * @param dtype   F32, BF16 or F16, to which the values are rounded (see `store_floats`)
 * @param values  called once, for all of the tensor
 */
std::function<void(const WriteBytes&)> write_floats(Dtype dtype, std::function<std::vector<float>()> values);

/**
 * Writes a safetensors file so that `path` always holds either what it held before or the whole new file,
 * even across a crash or power loss: a temporary file in the same folder, flushed to the disk, then renamed
 * over `path` (a symbolic link at `path` is replaced, not followed). The tensors follow one another in the
 * given order, from a multiple of 8 bytes.
 *
 * @param metadata  strings for "__metadata__"; readers of Hugging Face's libraries expect {"format": "pt"}
 * @throws invalid_argument for a name twice, the name "__metadata__", text that is not UTF-8, sizes out of
 * range, a tensor with another number of bytes than its shape says, or a header above max_safetensors_header_bytes; io when the folder or the disk refuses, and then
 * nothing is left behind
 */
void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace sightline
