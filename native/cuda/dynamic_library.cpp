#include "cuda/dynamic_library.h"

#include <dlfcn.h>

#include <cstdlib>

#include "core/error.h"

namespace sightline::cuda {

DynamicLibrary::DynamicLibrary(const LibraryLocation& location) : name_(location.name) {
  const char* chosen = std::getenv(location.variable);
  const bool is_chosen = chosen != nullptr && *chosen != '\0';
  const std::vector<const char*> files = is_chosen ? std::vector{chosen} : location.files;
  std::string attempts;
  for (const char* file : files) {
    handle_ = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) {
      file_ = file;
      return;
    }
    const char* reason = dlerror();
    attempts += concat("\n  ", reason != nullptr ? reason : file);
  }
  fail(ErrorCode::unsupported, location.name, ": expected ", is_chosen ? "the library that " : "a library that can be opened",
       is_chosen ? location.variable : "", is_chosen ? " names" : "", ", found none:", attempts, "\n", location.advice, " ",
       location.variable, " may name the file.");
}

void* DynamicLibrary::address(const char* symbol) const {
  void* found = dlsym(handle_, symbol);
  if (found == nullptr) {
    fail(ErrorCode::unsupported, name_, ": expected a library with the function ", symbol, ", but ", file_,
         " has none; it is too old, or not ", name_);
  }
  return found;
}

}  // namespace sightline::cuda
