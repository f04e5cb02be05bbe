#include "emulator/runtime/modules.h"

#include <cstring>

#include "emulator/runtime/failure.h"
#include "emulator/runtime/limits.h"

namespace sightline::emulator {
namespace {

// Layout of nvcc's fat binaries, as observed in those of CUDA 12 and 13: a wrapper points to a header, which entries follow.
// Numbers are little endian.
struct FatWrapper {
  uint32_t magic, version;
  const std::byte* data;
};
struct FatHeader {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t entries_bytes;
};
struct FatEntry {
  uint16_t kind, version;
  uint32_t header_bytes;
  uint64_t bytes;
  uint32_t compressed_bytes, options_offset;
  uint16_t minor, major;
  /** Architecture: 80 is sm_80 or compute_80. */
  uint32_t architecture;
};
constexpr uint32_t wrapper_magic = 0x466243b1, header_magic = 0xba55ed50;
constexpr uint16_t ptx_kind = 1;

/** The newest PTX for at most the emulated architecture; empty when there is none. */
std::string_view find_ptx(const void* fat_binary) {
  FatWrapper wrapper;
  std::memcpy(&wrapper, fat_binary, sizeof wrapper);
  FatHeader header;
  if (wrapper.magic != wrapper_magic) refuse(CudaError::no_kernel_image, "fat binary: unknown wrapper");
  std::memcpy(&header, wrapper.data, sizeof header);
  if (header.magic != header_magic) refuse(CudaError::no_kernel_image, "fat binary: unknown header");
  const std::byte* at = wrapper.data + header.header_bytes;
  const std::byte* const end = at + header.entries_bytes;
  std::string_view best;
  uint32_t best_architecture = 0;
  while (at + sizeof(FatEntry) <= end) {
    FatEntry entry;
    std::memcpy(&entry, at, sizeof entry);
    const auto* text = reinterpret_cast<const char*>(at + entry.header_bytes);
    at += entry.header_bytes + entry.bytes;
    const uint32_t emulated = 10 * limits::compute_major + limits::compute_minor;
    if (entry.kind != ptx_kind || entry.architecture > emulated || entry.architecture < best_architecture) continue;
    if (entry.compressed_bytes != 0) {
      refuse(CudaError::no_kernel_image, "fat binary: its PTX is compressed; compile with nvcc --no-compress");
    }
    best = {text, strnlen(text, entry.bytes)};
    best_architecture = entry.architecture;
  }
  return best;
}

}  // namespace

const Program& Module::program() {
  if (!program_) {
    const std::string_view ptx = find_ptx(fat_binary_);
    if (ptx.empty()) {
      refuse(CudaError::no_kernel_image,
             "fat binary: no PTX for compute_80 or older; compile with -gencode arch=compute_80,code=compute_80");
    }
    try {
      program_ = std::make_unique<Program>(Program::parse(ptx));
    } catch (const Error& error) {
      refuse(CudaError::invalid_ptx, error.what());
    }
  }
  return *program_;
}

Modules& Modules::instance() {
  // Libraries unregister their kernels while the process ends, after static objects are gone.
  static Modules& modules = *new Modules;
  return modules;
}

Module* Modules::add(const void* fat_binary) {
  const std::lock_guard lock(mutex_);
  auto module = std::make_unique<Module>(fat_binary);
  Module* handle = module.get();
  modules_.emplace(handle, std::move(module));
  return handle;
}

void Modules::remove(Module* module) {
  const std::lock_guard lock(mutex_);
  std::erase_if(functions_, [&](const auto& entry) { return entry.second.module == module; });
  std::erase_if(variables_, [&](const auto& entry) { return entry.second.module == module; });
  modules_.erase(module);
}

void Modules::add_function(Module* module, const void* host_function, const char* name) {
  const std::lock_guard lock(mutex_);
  functions_.insert_or_assign(host_function, KernelFunction{module, name});
}

void Modules::add_variable(Module* module, const void* host_variable, const char* name) {
  const std::lock_guard lock(mutex_);
  variables_.insert_or_assign(host_variable, HostVariable{module, name});
}

void Modules::reset_attributes() {
  const std::lock_guard lock(mutex_);
  for (auto& entry : functions_) entry.second.max_dynamic_shared_bytes = -1;
}

Modules::Found Modules::find(const void* host_function) {
  const std::lock_guard lock(mutex_);
  const auto found = functions_.find(host_function);
  if (found == functions_.end()) {
    refuse(CudaError::invalid_device_function, "kernel: expected the address of a __global__ function that nvcc compiled");
  }
  KernelFunction& function = found->second;
  const Kernel* kernel = function.module->program().find(function.name);
  if (kernel == nullptr) refuse(CudaError::invalid_device_function, "kernel ", function.name, ": not in its module's PTX");
  if (function.max_dynamic_shared_bytes < 0) {
    function.max_dynamic_shared_bytes = static_cast<int>(limits::shared_bytes_per_block - kernel->static_shared_bytes);
  }
  return {&function, kernel};
}

const void* Modules::host_function(std::string_view name) {
  const std::lock_guard lock(mutex_);
  for (const auto& [address, function] : functions_)
    if (function.name == name) return address;
  return nullptr;
}

Variable Modules::find_variable(const void* host_variable) {
  const std::lock_guard lock(mutex_);
  const auto found = variables_.find(host_variable);
  if (found == variables_.end()) {
    refuse(CudaError::invalid_symbol, "symbol: expected a __device__ or __constant__ variable that nvcc compiled");
  }
  const Variable* variable = found->second.module->program().find_variable(found->second.name);
  if (variable == nullptr) refuse(CudaError::invalid_symbol, "symbol ", found->second.name, ": not in its module's PTX");
  return *variable;
}

}  // namespace sightline::emulator
