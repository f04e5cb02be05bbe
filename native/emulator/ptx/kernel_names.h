#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "emulator/ptx/program.h"

namespace sightline::emulator {

/** What the names of a module stand for, shared by its kernels. */
struct ModuleNames {
  std::shared_ptr<ModuleStorage> storage;
  /** `extern __shared__` arrays and their alignments. */
  std::unordered_map<std::string, uint32_t> dynamic_shared;
  /** `.shared` directives outside of kernels: in the kernels that use them as if they were declared there. */
  std::unordered_map<std::string, std::string> static_shared;
};

/** Throws Error(format) that names the PTX line. */
template <class... Parts>
[[noreturn]] void fail_format(uint32_t line, const Parts&... parts) {
  fail(ErrorCode::format, "PTX line ", line, ": ", parts...);
}

/** Throws Error(unsupported) that names the PTX line. */
template <class... Parts>
[[noreturn]] void fail_unsupported(uint32_t line, const Parts&... parts) {
  fail(ErrorCode::unsupported, "PTX line ", line, ": ", parts...);
}

/**
 * Resolves the names within a kernel to registers, and lays out its register file. Constants and special registers become registers
 * too, filled before the kernel runs, so that executing an operand is the same whatever it is. Braces open scopes, as in inline
 * assembly.
 */
class KernelNames {
 public:
  KernelNames(Kernel& kernel, const ModuleNames& module);

  void open_scope();
  void close_scope(uint32_t line);

  /** `.reg .type name<count>, ...` */
  void declare_registers(std::string_view directive, uint32_t line);
  /** `.shared .align n .type name[count]` */
  void declare_shared(std::string_view directive, uint32_t line);
  void declare_parameter(const std::string& name, uint32_t offset) { parameters_[name] = offset; }

  void define_label(const std::string& name, int64_t instruction_index, uint32_t line);
  /** Remembers that the instruction branches to a label of the present scope or one around it. */
  void refer_to_label(const std::string& name, size_t instruction_index, uint32_t line);
  /** Writes the targets of the branches. @throws Error(format) for an undefined label */
  void resolve_labels();

  /** A register to read: declared, special, or made for a number or the address of a symbol. */
  Slot source(const std::string& text, Width width, uint32_t line);
  /** A declared register to write, or for `_` one that nobody reads. */
  Slot destination(const std::string& text, Width width, uint32_t line);
  /** A register without name. */
  Slot temporary(Width width);
  /** "[register or symbol or number + displacement]" */
  Address address(const std::string& text, uint32_t line);
  /** Offset within the parameter space of "name" if that is a parameter. */
  const uint32_t* parameter(const std::string& name) const;
  bool is_register(const std::string& text, Width width) const;

  /** By slot, the width of the register that begins there. */
  const std::vector<Width>& slot_widths() const { return slot_widths_; }

  /** Gives the dynamic shared memory its place behind what was declared. */
  void finish_shared();

 private:
  struct Register {
    Width width;
    Slot slot;
  };
  struct Scope {
    int parent;
    std::unordered_map<std::string, Register> registers;
    std::unordered_map<std::string, int64_t> labels;
  };
  struct Reference {
    std::string label;
    int scope;
    size_t instruction;
    uint32_t line;
  };

  const Register* find_register(const std::string& name) const;
  Slot constant(uint64_t value, Width width);
  /** The value of a number or of a symbol's address. @returns false if the text is neither */
  bool constant_value(const std::string& text, Width width, uint64_t& value, uint32_t line);

  Kernel& kernel_;
  const ModuleNames& module_;
  std::vector<Scope> scopes_;
  int scope_ = 0;
  std::unordered_map<std::string, uint32_t> shared_, parameters_;
  std::map<std::pair<uint64_t, Width>, Slot> constants_;
  std::unordered_map<std::string, Slot> specials_;
  /** Constant registers that hold the address of dynamic shared memory, known once all static arrays are. */
  std::vector<size_t> dynamic_addresses_;
  std::vector<Reference> references_;
  std::vector<Width> slot_widths_;
};

/** Bytes of a PTX type such as ".u32" or "b32"; 0 for a type without a fixed size, such as pred. */
uint32_t type_bytes(std::string_view type);

}  // namespace sightline::emulator
