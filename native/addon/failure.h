#pragma once

#include <napi.h>

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
inline Failure current_failure() { return Failure(current_error()); }

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
