#pragma once

#include <string>
#include <vector>

namespace sightline::cuda {

/** Where a library that is opened at run time is looked for. */
struct LibraryLocation {
  /** What the user knows the library as, e.g. "cuBLASLt". */
  const char* name;
  /** Environment variable that holds the library's file when it is in none of the usual places. */
  const char* variable;
  /** File names in the order of preference; the dynamic linker searches its usual places for them. */
  std::vector<const char*> files;
  /** How to get the library: the end of the message when it is missing. */
  const char* advice;
};

/** A shared library opened at run time. It stays open: its threads may outlive the object. */
class DynamicLibrary {
 public:
  /** @throws Error unsupported, naming the library, what was tried and how to get it */
  explicit DynamicLibrary(const LibraryLocation& location);

  /** Sets `function` to the library's function `symbol`. @throws Error unsupported when the library has none */
  template <class Function>
  void resolve(const char* symbol, Function*& function) const {
    function = reinterpret_cast<Function*>(address(symbol));
  }

  /** The file that was opened, as it was asked for. */
  const std::string& file() const { return file_; }

 private:
  void* address(const char* symbol) const;

  std::string name_, file_;
  void* handle_ = nullptr;
};

}  // namespace sightline::cuda
