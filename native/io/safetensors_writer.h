#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace sightline {

/** One fp32 tensor to write. */
struct FloatTensor {
  std::string name;
  std::vector<int64_t> shape;
  /** Row-major, as many as the product of `shape`. Called once, when the tensor's turn comes, so that one is held at a time. */
  std::function<std::vector<float>()> values;
};

/**
 * Writes a safetensors file so that `path` always holds either what it held before or the whole new file,
 * even across a crash or power loss: a temporary file in the same folder, flushed to the disk, then renamed
 * over `path` (a symbolic link at `path` is replaced, not followed). The tensors follow one another in the
 * given order, from a multiple of 8 bytes.
 *
 * @param metadata  strings for "__metadata__"; readers of Hugging Face's libraries expect {"format": "pt"}
 * @throws invalid_argument for a name twice, the name "__metadata__", text that is not UTF-8, sizes out of
 * range, or a header above max_safetensors_header_bytes; io when the folder or the disk refuses, and then
 * nothing is left behind
 */
void write_safetensors(const std::string& path, const std::vector<FloatTensor>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace sightline
