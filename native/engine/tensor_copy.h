#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/safetensors_header.h"

namespace sightline {

struct TensorSource {
  std::string file;
  std::string name;
};

/** What a low-rank adapter adds to a matrix W (out, in): scale B A, with A (r, in) and B (out, r). */
struct LowRankUpdate {
  TensorSource a, b;
  float scale;
};

/** A tensor of a new file. */
struct CopiedTensor {
  std::string name;
  TensorSource source;
  /** F32, BF16 or F16, to which the numbers are rounded (see `store_floats`); none: as in the source. */
  std::optional<Dtype> type;
  std::optional<LowRankUpdate> update;
};

/**
 * Writes a safetensors file of other files' tensors, each with the type, the shape and the bytes that it has there, or in another type, or with an
 * update: W + scale B A, summed in fp32 over the rank and rounded once to the type of the new tensor, to nearest, ties to even. One piece of one tensor is
 * in memory at a time, besides B and A of its update.
 *
 * @param path     replaced as a whole, see `write_safetensors`
 * @param threads  >= 1; results do not depend on it
 * @throws io; format, which lists all tensors that are missing, misshaped or not of floats together, and then nothing is written
 */
void copy_tensors(const std::string& path, const std::vector<CopiedTensor>& tensors,
                  const std::map<std::string, std::string>& metadata, int threads);

}  // namespace sightline
