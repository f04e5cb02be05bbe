#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "io/safetensors_header.h"
#include "nn/parameter.h"

namespace sightline {

/** Safetensors files that hold parameters under names of their own; together they hold each tensor once. */
struct TensorFiles {
  std::vector<std::string> files;
  /** Tensor by parameter. */
  std::map<std::string, std::string> names;
  /** Tensors that the model has no use for. */
  std::set<std::string> ignored;
  /** Tensors that may be there and are the same bytes as another one, by its name. */
  std::map<std::string, std::string> copies;
};

struct LoadSource {
  /** One file under the parameters' own names, or files under other names. */
  std::variant<std::string, std::vector<TensorFiles>> model;
  /** Empty: the optimizer state is left alone. */
  std::string optimizer;
};

/** A safetensors file to be written. */
struct SavedTensors {
  std::string file;
  /** Parameter and tensor, in the order in which they are written. */
  std::vector<std::pair<std::string, std::string>> names;
  /** F32, BF16 or F16; the latter two round to nearest, ties to even. */
  Dtype type = Dtype::f32;
  /** Where they differ from the parameter's, by parameter; of the same number of elements. */
  std::map<std::string, std::vector<int64_t>> shapes;
};

struct SaveTarget {
  /** One file of all parameters under their own names, in F32; or files of some parameters each. */
  std::variant<std::string, std::vector<SavedTensors>> model;
  /** Empty: the optimizer state is not written. */
  std::string optimizer;
};

/**
 * Writes parameters as safetensors. F32 holds those that are stored as bf16 exactly. Each file replaces its predecessor as a whole.
 * @throws io; invalid_argument for a parameter that the model has not, or a shape of another number of elements, before anything is
 * written
 */
void save_parameters(Device& device, const ParameterSet& parameters, const SaveTarget& target);

/**
 * Reads every parameter, piece by piece from the mapped files. Weights that are stored as bf16 (see ParameterSet::allocate_matrix) are
 * rounded to it, which changes none that was saved so. Where the source has no adapter at all they start as in a fresh model, which changes
 * nothing that the model computes; where it has nothing of the value head, that starts so too.
 *
 * A file under the parameters' own names has their shapes, too; under other names a shape of as many elements will do.
 * @throws io; format, which lists all missing, unexpected, misshaped and duplicate tensors of all files together; invalid_argument for a
 * parameter that the model has not, or that is named twice. Then nothing was changed
 */
void load_parameters(Device& device, ParameterSet& parameters, const LoadSource& source);

/** Writes moments and step counts of the trainable parameters: <name>.first_moment, .second_moment, .steps. @throws io */
void save_optimizer(Device& device, const ParameterSet& parameters, const std::string& path);

/** @throws io, format as `load_parameters` */
void load_optimizer(Device& device, ParameterSet& parameters, const std::string& path);

}  // namespace sightline
