#include "core/error.h"

#include <new>

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

Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::out_of_memory, "the system has no more memory");
  } catch (const std::exception& error) {
    return Error(ErrorCode::internal, concat("a bug in the native code: ", error.what()));
  } catch (...) {
    return Error(ErrorCode::internal, "a bug in the native code: an exception of unknown type");
  }
}

}  // namespace sightline
