#pragma once

#include <cerrno>
#include <string>
#include <system_error>

#include "core/error.h"

namespace sightline {

/** Throws `io` for the system call that just failed: "<path>: cannot <action>: <what errno says>". */
[[noreturn]] inline void fail_system(const std::string& path, const char* action) {
  const int error = errno;
  fail(ErrorCode::io, path, ": cannot ", action, ": ", std::generic_category().message(error));
}

}  // namespace sightline
