#pragma once

#include <napi.h>

#include <new>
#include <string>

#include "core/error.h"

namespace sightline {

/** What went wrong, ready to become a JavaScript Error with a `code`; may travel between threads. */
struct Failure {
  ErrorCode code;
  std::string message;

  explicit Failure(const Error& error) : code(error.code()), message(error.what()) {}
  Failure(ErrorCode code, std::string message) : code(code), message(std::move(message)) {}
};

/** Describes the exception being handled; call it inside `catch (...)`. */
inline Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return Failure(error);
  } catch (const std::bad_alloc&) {
    return {ErrorCode::out_of_memory, "the system has no more memory"};
  } catch (const std::exception& error) {
    return {ErrorCode::internal, concat("a bug in the native code: ", error.what())};
  } catch (...) {
    return {ErrorCode::internal, "a bug in the native code: an exception of unknown type"};
  }
}

inline Napi::Error to_js_error(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Set("code", error_code_name(failure.code));
  return error;
}

/** Runs the body of a function that JavaScript calls; whatever it throws becomes a JavaScript exception. */
template <class Body>
auto guard(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js_error(env, current_failure());
  }
}

}  // namespace sightline
