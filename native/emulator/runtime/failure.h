#pragma once

#include <string>

#include "core/error.h"
#include "emulator/runtime/api_types.h"

namespace sightline::emulator {

/** A call that is refused: the caller gets `error` at once, and the device stays usable. */
struct Refusal {
  CudaError error;
  std::string message;
};

template <class... Parts>
[[noreturn]] void refuse(CudaError error, const Parts&... parts) {
  throw Refusal{error, concat(parts...)};
}

/** Work of a device that went wrong: from then on every call of that device answers `error`, until it is reset. */
struct DeviceFault {
  CudaError error;
  std::string message;
};

template <class... Parts>
[[noreturn]] void fault(CudaError error, const Parts&... parts) {
  throw DeviceFault{error, concat(parts...)};
}

}  // namespace sightline::emulator
