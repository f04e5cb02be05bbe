#pragma once

#include <vector>

#include "models/model_spec.h"
#include "nn/functions.h"
#include "nn/linear.h"

namespace sightline {

/** The critic: linear layers with ReLU between, down to one output, which starts at zero. */
class ValueHead {
 public:
  ValueHead(ParameterSet& parameters, const ValueHeadSpec& spec, int64_t in);

  /** @param x (B, in); @param keys of the B rows, where adapters drop something; @return (B, 1) */
  Var forward(Tape& tape, const Var& x, const RowKeys& keys = {});

 private:
  std::vector<Linear> layers_;
};

}  // namespace sightline
