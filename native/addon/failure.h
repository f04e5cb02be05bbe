#pragma once

#include <new>
#include <string>

#include "core/error.h"

namespace sightline {

/** What a caught exception means to a JavaScript caller: the `code` and the message of the error it becomes. */
struct Failure {
  ErrorCode code;
  std::string message;
};

/** Describes the exception being handled; call it inside `catch (...)`. */
inline Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {ErrorCode::out_of_memory, "the system has no more memory"};
  } catch (const std::exception& error) {
    return {ErrorCode::internal, concat("a bug in the native code: ", error.what())};
  } catch (...) {
    return {ErrorCode::internal, "a bug in the native code: an exception of unknown type"};
  }
}

}  // namespace sightline
