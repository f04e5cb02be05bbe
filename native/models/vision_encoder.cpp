#include "models/vision_encoder.h"

#include "models/fixed_resolution_encoder.h"
#include "models/native_resolution_encoder.h"

namespace sightline {

std::unique_ptr<VisionEncoder> make_vision_encoder(ParameterSet& parameters, const VisionSpec& spec, int64_t merge_size,
                                                   float residual_deviation) {
  if (const auto* fixed = std::get_if<FixedResolutionSpec>(&spec))
    return std::make_unique<FixedResolutionEncoder>(parameters, *fixed, merge_size, residual_deviation);
  return std::make_unique<NativeResolutionEncoder>(parameters, std::get<NativeResolutionSpec>(spec), merge_size, residual_deviation);
}

}  // namespace sightline
