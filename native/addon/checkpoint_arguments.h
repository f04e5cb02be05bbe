#pragma once

#include "addon/argument.h"
#include "engine/checkpoint.h"

namespace sightline {

/** F32, BF16 or F16. @throws invalid_argument */
Dtype to_stored_type(const Argument& type);
/** `SaveTarget` of `src/native/types.ts`. @throws invalid_argument */
SaveTarget to_save_target(const Argument& target);
/** `LoadSource` of `src/native/types.ts`. @throws invalid_argument */
LoadSource to_load_source(const Argument& source);

}  // namespace sightline
