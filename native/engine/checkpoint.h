#pragma once

#include <string>

#include "nn/parameter.h"

namespace sightline {

/** Writes every parameter, under its own name, as safetensors in fp32, which holds those stored as bf16 exactly. @throws io */
void save_parameters(Device& device, const ParameterSet& parameters, const std::string& path);

/**
 * Reads every parameter from a file of `save_parameters`, or one with the same names and shapes in another float type. Weights
 * that are stored as bf16 (see ParameterSet::allocate_matrix) are rounded to it, which changes none that was saved so. A file without
 * any adapter is of a model that had none: adapters then start as in a fresh model, which changes nothing that it computes.
 * @throws io, format; format lists all missing, unexpected and misshaped tensors together, and then nothing was changed
 */
void load_parameters(Device& device, ParameterSet& parameters, const std::string& path);

/** Writes moments and step counts of the trainable parameters: <name>.first_moment, .second_moment, .steps. @throws io */
void save_optimizer(Device& device, const ParameterSet& parameters, const std::string& path);

/** @throws io, format as `load_parameters` */
void load_optimizer(Device& device, ParameterSet& parameters, const std::string& path);

}  // namespace sightline
