#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "emulator/ptx/program.h"

namespace sightline::emulator {

/** What nvcc embeds for one source file: a fat binary, of which the PTX is taken. */
class Module {
 public:
  /** @param fat_binary  the wrapper that nvcc's host code registers; must stay readable for the module's lifetime */
  explicit Module(const void* fat_binary) : fat_binary_(fat_binary) {}

  /**
   * The parsed PTX; parses it at the first call.
   * @throws Refusal no_kernel_image when the fat binary has no readable PTX, invalid_ptx when the interpreter cannot run it
   */
  const Program& program();

 private:
  const void* fat_binary_;
  std::unique_ptr<Program> program_;
};

/** A kernel as host code knows it. */
struct KernelFunction {
  Module* module;
  std::string name;
  /** What launches may ask for. Without cudaFuncSetAttribute (-1) it is 48 KiB including static shared memory. */
  int max_dynamic_shared_bytes = -1;
};

/** Kernels and variables by the address of their host-side stand-ins, as nvcc's host code registers them. Thread-safe. */
class Modules {
 public:
  static Modules& instance();

  Module* add(const void* fat_binary);
  void remove(Module* module);
  void add_function(Module* module, const void* host_function, const char* name);
  void add_variable(Module* module, const void* host_variable, const char* name);

  /** Forgets what cudaFuncSetAttribute said. */
  void reset_attributes();

  struct Found {
    KernelFunction* function;
    const Kernel* kernel;
  };
  /** @throws Refusal invalid_device_function for what is no kernel of a registered module, and as Module::program */
  Found find(const void* host_function);
  /** The host function of a kernel by its mangled name in the PTX; null when there is no such kernel. */
  const void* host_function(std::string_view name);
  /** @throws Refusal invalid_symbol, and as Module::program */
  Variable find_variable(const void* host_variable);

 private:
  struct HostVariable {
    Module* module;
    std::string name;
  };

  std::mutex mutex_;
  std::unordered_map<Module*, std::unique_ptr<Module>> modules_;
  std::unordered_map<const void*, KernelFunction> functions_;
  std::unordered_map<const void*, HostVariable> variables_;
};

}  // namespace sightline::emulator
