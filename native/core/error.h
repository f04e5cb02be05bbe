#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace sightline {

/** Kinds of failure a caller can act on; the binding turns each into a `code` string. */
enum class ErrorCode { invalid_argument, out_of_memory, io, format, aborted, disposed, unsupported, internal };

const char* error_code_name(ErrorCode code);

/** The one exception type of the native code. The message names the parameter, what was expected, what was received. */
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

/** The exception being handled, as an Error; call it inside `catch (...)`. */
Error current_error();

/** Concatenates its arguments as a stream would print them. */
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

template <class... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  throw Error(code, concat(parts...));
}

/** Throws `invalid_argument` unless `condition` holds. */
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) fail(ErrorCode::invalid_argument, parts...);
}

}  // namespace sightline
