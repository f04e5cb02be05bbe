#pragma once

#include "addon/argument.h"
#include "engine/engine.h"

namespace sightline {

// Engine arguments from the objects of the same names in src/native/types.ts. They check types and shapes;
// the engine checks what the values mean. Arrays are copied, because JavaScript may change or transfer them
// during the call.

EngineOptions to_engine_options(const Argument& options);
GenerateRequest to_generate_request(const Argument& request);
std::vector<Sequence> to_sequences(const Argument& batch);
ForwardOptions to_forward_options(const Argument& options);
OutputGradient to_output_gradient(const Argument& gradient);
OptimizerStep to_optimizer_step(const Argument& step);

}  // namespace sightline
