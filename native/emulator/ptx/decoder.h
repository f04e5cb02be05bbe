#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "emulator/ptx/kernel_names.h"
#include "emulator/ptx/statements.h"

namespace sightline::emulator {

/** The text of one instruction, taken apart. */
struct InstructionText {
  /** As in the source, for messages. */
  std::string whole;
  /** Dot-separated parts of the opcode: "ld", "global", "nc", "v4", "f32". */
  std::vector<std::string> parts;
  std::vector<std::string> operands;
  uint32_t line = 0;

  bool has(std::string_view part) const;
};

/** Turns instruction text into instructions and appends them to a kernel. */
class Decoder {
 public:
  Decoder(Kernel& kernel, KernelNames& names) : kernel_(kernel), names_(names) {}

  /** `.loc` entry that the instructions from here on belong to. */
  void set_location(uint32_t location) { location_ = location; }

  /** @throws Error(unsupported or format) with the line and the text */
  void decode(const Statement& statement);

 private:
  using Method = void (Decoder::*)(const InstructionText&);
  static Method method_for(const std::string& operation);

  // decoder.cpp
  void compute(const InstructionText& text);
  void move(const InstructionText& text);
  void set_predicate(const InstructionText& text);
  void branch(const InstructionText& text);
  void exit(const InstructionText& text);
  void nothing(const InstructionText& text);
  // decode_memory.cpp
  void load(const InstructionText& text);
  void store(const InstructionText& text);
  void convert_address(const InstructionText& text);
  void atomic(const InstructionText& text);
  void load_matrix(const InstructionText& text);
  void copy_async(const InstructionText& text);
  // decode_warp.cpp
  void barrier(const InstructionText& text);
  void shuffle(const InstructionText& text);
  void vote(const InstructionText& text);
  void active_mask(const InstructionText& text);
  void reduce(const InstructionText& text);

  [[noreturn]] void refuse(const InstructionText& text,
                           std::string_view why = "the interpreter does not have this instruction") const;
  /** Requires `count` operands. */
  void expect_operands(const InstructionText& text, size_t count) const;

  /** An instruction with the statement's guard and position. */
  Instruction guarded(Action action) const;
  /** Appends the row `name`; operands as text, `results` first written. The whole instruction text is for messages. */
  void append_row(const std::string& name, const std::vector<std::string>& results, const std::vector<std::string>& sources,
                  const InstructionText& text);
  void append(const Instruction& instruction) { kernel_.code.push_back(instruction); }

  /** A predicate to read; "!%p1" is negated into a temporary first. */
  Slot predicate_source(const std::string& operand, uint32_t line);
  /** Appends the unguarded row `name` of predicates. */
  void append_predicate_row(const char* name, Slot result, Slot a, Slot b, bool with_guard);

  /** Fills in bytes and elements from the type and the vector part. @returns the elements' operands */
  std::vector<std::string> element_operands(const InstructionText& text, const std::string& operand,
                                            Instruction& instruction) const;
  /** The state space of a memory instruction, after refusing parts that it does not know. */
  Space space_of(const InstructionText& text, Instruction& instruction) const;
  void note_shared_access(Space space, uint32_t bytes);

  Kernel& kernel_;
  KernelNames& names_;
  uint32_t location_ = 0, line_ = 0;
  Slot guard_ = Instruction::none;
  bool guard_negated_ = false;
};

/** "{a, b}" as a and b; any other text as itself. */
std::vector<std::string> vector_elements(const std::string& operand);

}  // namespace sightline::emulator
