#include "core/error.h"

namespace sightline {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "INVALID_ARGUMENT";
    case ErrorCode::out_of_memory: return "OUT_OF_MEMORY";
    case ErrorCode::io: return "IO";
    case ErrorCode::format: return "FORMAT";
    case ErrorCode::aborted: return "ABORTED";
    case ErrorCode::disposed: return "DISPOSED";
    case ErrorCode::unsupported: return "UNSUPPORTED";
    case ErrorCode::internal: return "INTERNAL";
  }
  return "INTERNAL";
}

}  // namespace sightline
