#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "emulator/ptx/instruction.h"

namespace sightline::emulator {

/** Where a kernel parameter lies in the parameter space. */
struct Parameter {
  uint32_t offset = 0, bytes = 0;
};

/** A position in CUDA source, from `.file` and `.loc` (nvcc -lineinfo); line 0 where the PTX does not say. */
struct SourceLocation {
  std::string file;
  uint32_t line = 0;
};

/** A register that holds the same number in every lane of every warp. */
struct ConstantRegister {
  Slot slot;
  Width width;
  uint64_t value;
};

/** A module variable (`__device__`, `__constant__`): its bytes live as long as the program and are shared by its launches. */
struct Variable {
  uint8_t* data = nullptr;
  size_t bytes = 0;
  bool constant = false;
};

/** The storage of a program's module variables: zero where the PTX gives no value. */
struct ModuleStorage {
  std::unordered_map<std::string, Variable> variables;
  std::vector<std::unique_ptr<uint64_t[]>> blocks;
};

/** One `.entry` of a program, decoded. */
struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  uint32_t parameter_bytes = 0;
  /** Bytes of `__shared__` arrays of fixed size. */
  uint32_t static_shared_bytes = 0;
  /** Where `extern __shared__` memory begins: static_shared_bytes rounded up to its alignment. */
  uint32_t dynamic_shared_offset = 0;
  /** Threads of a block at most (`__launch_bounds__`), 0 where the kernel does not say. */
  uint32_t max_threads = 0;

  std::vector<Instruction> code;
  /** Size of a warp's register file, in slots of 32 lanes x 4 bytes, and its number of predicates. */
  uint32_t register_slots = 0, predicates = 0;
  std::vector<ConstantRegister> constants;
  /** Special registers that the kernel reads. */
  std::vector<std::pair<Slot, SpecialRegister>> specials;
  /** Smallest access to shared memory in bytes, at most 4: what races are told apart by. */
  uint32_t shared_granularity = 4;
  /** Instruction::location indexes it; entry 0 is "unknown". */
  std::vector<SourceLocation> locations;
  /** Keeps the module variables alive that the code refers to. */
  std::shared_ptr<ModuleStorage> storage;
};

/** A parsed PTX module. */
class Program {
 public:
  /**
   * Parses and decodes a module of PTX as nvcc writes it for sm_80.
   * @throws Error(unsupported), with the line and its text, for an instruction or directive that the interpreter does not have:
   * above all local memory (spills, arrays indexed at run time), calls (device printf, assert), float atomics; Error(format) for
   * text that is not PTX
   */
  static Program parse(std::string_view ptx);

  /** The kernel of this mangled name, or null. Stays valid as long as the program. */
  const Kernel* find(std::string_view mangled_name) const;

  const std::vector<std::unique_ptr<Kernel>>& kernels() const { return kernels_; }

  /** The module variable of this name, or null: where symbol copies go. */
  const Variable* find_variable(std::string_view name) const;

 private:
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::shared_ptr<ModuleStorage> storage_;
};

}  // namespace sightline::emulator
