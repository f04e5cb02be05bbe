// What the host code that nvcc generates calls: registration of its kernels while a library loads, and <<< >>>.
#include <vector>

#include "emulator/runtime/api.h"
#include "emulator/runtime/modules.h"
#include "emulator/runtime/runtime.h"

using namespace sightline::emulator;

namespace {

struct Configuration {
  CudaDim3 grid, block;
  size_t dynamic_shared_bytes;
  Stream* stream;
};

/** Of <<< >>> between its push and its pop. */
std::vector<Configuration>& configurations() {
  thread_local std::vector<Configuration> pushed;
  return pushed;
}

Module* module_of(void** handle) { return reinterpret_cast<Module*>(handle); }

}  // namespace

// The handle is the module itself; host code only passes it on.
SIGHTLINE_EMULATOR_API void** __cudaRegisterFatBinary(void* fat_binary) {
  return reinterpret_cast<void**>(Modules::instance().add(fat_binary));
}

SIGHTLINE_EMULATOR_API void __cudaRegisterFatBinaryEnd(void**) {}

SIGHTLINE_EMULATOR_API void __cudaUnregisterFatBinary(void** handle) { Modules::instance().remove(module_of(handle)); }

SIGHTLINE_EMULATOR_API char __cudaInitModule(void**) { return 1; }

SIGHTLINE_EMULATOR_API void __cudaRegisterFunction(void** handle, const char* host_function, char*, const char* name, int,
                                                   void*, void*, CudaDim3*, CudaDim3*, int*) {
  Modules::instance().add_function(module_of(handle), host_function, name);
}

SIGHTLINE_EMULATOR_API void __cudaRegisterVar(void** handle, char* host_variable, char*, const char* name, int, size_t, int,
                                              int) {
  Modules::instance().add_variable(module_of(handle), host_variable, name);
}

SIGHTLINE_EMULATOR_API unsigned __cudaPushCallConfiguration(CudaDim3 grid, CudaDim3 block, size_t dynamic_shared_bytes,
                                                            Stream* stream) {
  configurations().push_back({grid, block, dynamic_shared_bytes, stream});
  return 0;
}

SIGHTLINE_EMULATOR_API CudaError __cudaPopCallConfiguration(CudaDim3* grid, CudaDim3* block, size_t* dynamic_shared_bytes,
                                                            void* stream) {
  return guarded([&] {
    if (configurations().empty()) refuse(CudaError::missing_configuration, "a launch without configuration");
    const Configuration& last = configurations().back();
    *grid = last.grid;
    *block = last.block;
    *dynamic_shared_bytes = last.dynamic_shared_bytes;
    *static_cast<Stream**>(stream) = last.stream;
    configurations().pop_back();
    return CudaError::success;
  });
}

// A cudaKernel_t is the address of the host function.
SIGHTLINE_EMULATOR_API CudaError __cudaGetKernel(const void** kernel, const void* host_function) {
  *kernel = host_function;
  return CudaError::success;
}

SIGHTLINE_EMULATOR_API CudaError __cudaLaunchKernel(const void* kernel, CudaDim3 grid, CudaDim3 block, void** arguments,
                                                    size_t dynamic_shared_bytes, Stream* stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, dynamic_shared_bytes, stream);
}
