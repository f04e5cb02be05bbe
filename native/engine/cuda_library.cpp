#include "engine/cuda_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "core/error.h"

namespace sightline {
namespace {

constexpr const char* variable = "SIGHTLINE_CUDA_LIBRARY";
constexpr const char* way_out =
    "build it with `npm run build:cuda`, which needs the CUDA toolkit 12 or newer, or compute on the device \"cpu\"";

std::string library_file() {
  if (const char* chosen = std::getenv(variable); chosen != nullptr && *chosen != '\0') return chosen;
  Dl_info here{};
  dladdr(reinterpret_cast<const void*>(&cuda_library), &here);
  return std::filesystem::path(here.dli_fname).replace_filename("libsightline_cuda.so").string();
}

CudaLibrary open() {
  const std::string file = library_file();
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    fail(ErrorCode::unsupported, "device: the library of the CUDA backend cannot be opened: ", reason != nullptr ? reason : file,
         "; ", way_out, "; ", variable, " may name the file");
  }
  const auto get_interface = reinterpret_cast<cuda::GetInterface>(dlsym(library, cuda::interface_symbol));
  const cuda::Interface* interface = get_interface == nullptr ? nullptr : get_interface(cuda::interface_version());
  if (interface == nullptr)
    fail(ErrorCode::unsupported, "device: expected the library of the CUDA backend to be of this version of sightline, ", file,
         " is not; ", way_out);
  return {*interface, file};
}

}  // namespace

const CudaLibrary& cuda_library() {
  static const CudaLibrary library = open();  // throwing leaves it unset, so that the next call tries again
  return library;
}

}  // namespace sightline
