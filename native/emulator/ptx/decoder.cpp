#include "emulator/ptx/decoder.h"

#include <algorithm>
#include <unordered_map>

#include "emulator/ptx/row_table.h"

namespace sightline::emulator {
namespace {

bool one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

/**
 * The name of a row, from the parts of an opcode: without modifiers that change nothing here (approximate instructions are
 * computed as exactly as float32 allows, and every arithmetic row rounds to nearest even), types of instructions that only move
 * bits made untyped.
 */
std::string row_name(const std::vector<std::string>& parts) {
  const std::string& operation = parts[0];
  const bool is_float = type_bytes(parts.back()) != 0 && (parts.back()[0] == 'f' || parts.back().starts_with("bf"));
  const bool arithmetic = one_of(operation, {"add", "sub", "mul", "fma", "mad", "div", "rcp", "sqrt"});
  const bool untyped = one_of(operation, {"mov", "selp", "slct"});
  const bool comparison = operation == "setp";
  std::string name = operation == "mad" && is_float ? "fma" : operation;
  for (size_t k = 1; k < parts.size(); ++k) {
    std::string part = parts[k];
    if (is_float && ((arithmetic && part == "rn") || one_of(part, {"approx", "full"}))) continue;
    const uint32_t bytes = type_bytes(part);
    // slct's last type is that of its condition.
    if (bytes != 0 && untyped && !(operation == "slct" && k + 1 == parts.size())) part = concat("b", 8 * bytes);
    if (bytes != 0 && comparison && part[0] == 'b' && part[1] != 'f') part[0] = 'u';
    name.append(1, '.').append(part);
  }
  return name;
}

}  // namespace

bool InstructionText::has(std::string_view part) const { return std::find(parts.begin() + 1, parts.end(), part) != parts.end(); }

std::vector<std::string> vector_elements(const std::string& operand) {
  if (operand.empty() || operand.front() != '{') return {operand};
  if (operand.back() != '}') return {operand};
  return split_operands(std::string_view(operand).substr(1, operand.size() - 2));
}

Decoder::Method Decoder::method_for(const std::string& operation) {
  static const std::unordered_map<std::string, Method> methods = {
      {"mov", &Decoder::move},
      {"setp", &Decoder::set_predicate},
      {"bra", &Decoder::branch},
      {"ret", &Decoder::exit},
      {"exit", &Decoder::exit},
      {"membar", &Decoder::nothing},
      {"fence", &Decoder::nothing},
      {"prefetch", &Decoder::nothing},
      {"prefetchu", &Decoder::nothing},
      {"ld", &Decoder::load},
      {"ldu", &Decoder::load},
      {"st", &Decoder::store},
      {"cvta", &Decoder::convert_address},
      {"atom", &Decoder::atomic},
      {"red", &Decoder::atomic},
      {"ldmatrix", &Decoder::load_matrix},
      {"cp", &Decoder::copy_async},
      {"bar", &Decoder::barrier},
      {"barrier", &Decoder::barrier},
      {"shfl", &Decoder::shuffle},
      {"vote", &Decoder::vote},
      {"activemask", &Decoder::active_mask},
      {"redux", &Decoder::reduce},
  };
  const auto found = methods.find(operation);
  return found == methods.end() ? &Decoder::compute : found->second;
}

void Decoder::decode(const Statement& statement) {
  InstructionText text;
  text.whole = statement.text;
  text.line = line_ = statement.line;
  std::string_view rest = statement.text;
  guard_ = Instruction::none;
  guard_negated_ = false;
  if (rest.starts_with("@")) {
    rest.remove_prefix(1);
    guard_negated_ = rest.starts_with("!");
    if (guard_negated_) rest.remove_prefix(1);
    const size_t blank = std::min(rest.find(' '), rest.size());
    guard_ = names_.source(std::string(rest.substr(0, blank)), Width::predicate, line_);
    rest = trimmed(rest.substr(blank));
  }
  const size_t blank = std::min(rest.find(' '), rest.size());
  text.parts = split(rest.substr(0, blank), '.');
  text.operands = split_operands(rest.substr(blank));
  if (text.parts[0] == "call") refuse(text, "calls are not supported: no device printf, no assert, no recursion");
  (this->*method_for(text.parts[0]))(text);
}

void Decoder::refuse(const InstructionText& text, std::string_view why) const {
  fail_unsupported(text.line, why, ": \"", text.whole, "\"");
}

void Decoder::expect_operands(const InstructionText& text, size_t count) const {
  if (text.operands.size() != count) fail_format(text.line, "expected ", count, " operands: \"", text.whole, "\"");
}

Instruction Decoder::guarded(Action action) const {
  Instruction instruction;
  instruction.action = action;
  instruction.guard = guard_;
  instruction.guard_negated = guard_negated_;
  instruction.line = line_;
  instruction.location = location_;
  return instruction;
}

void Decoder::append_row(const std::string& name, const std::vector<std::string>& results,
                         const std::vector<std::string>& sources, const InstructionText& text) {
  const RowTable& table = RowTable::instance();
  const int index = table.find(name);
  if (index < 0) refuse(text);
  const Row& row = table.row(index);
  if (results.size() != row.results || sources.size() != row.sources)
    fail_format(text.line, "expected ", static_cast<int>(row.results), " results and ", static_cast<int>(row.sources),
                " sources: \"", text.whole, "\"");
  Instruction instruction = guarded(Action::compute);
  instruction.row = static_cast<uint16_t>(index);
  instruction.aligned = row.aligned;
  for (size_t k = 0; k < sources.size(); ++k)
    instruction.source[k] = row.source[k] == Width::predicate ? predicate_source(sources[k], text.line)
                                                              : names_.source(sources[k], row.source[k], text.line);
  for (size_t k = 0; k < results.size(); ++k)
    instruction.destination[k] = names_.destination(results[k], row.result[k], text.line);
  append(instruction);
}

void Decoder::append_predicate_row(const char* name, Slot result, Slot a, Slot b, bool with_guard) {
  Instruction instruction = guarded(Action::compute);
  if (!with_guard) instruction.guard = Instruction::none;
  instruction.row = static_cast<uint16_t>(RowTable::instance().find(name));
  instruction.destination[0] = result;
  instruction.source[0] = a;
  instruction.source[1] = b;
  append(instruction);
}

Slot Decoder::predicate_source(const std::string& operand, uint32_t line) {
  if (!operand.starts_with("!")) return names_.source(operand, Width::predicate, line);
  const Slot positive = names_.source(operand.substr(1), Width::predicate, line), negated = names_.temporary(Width::predicate);
  append_predicate_row("not.pred", negated, positive, positive, false);
  return negated;
}

void Decoder::compute(const InstructionText& text) {
  if (text.operands.empty()) refuse(text);
  std::vector<std::string> sources;
  for (size_t k = 1; k < text.operands.size(); ++k)
    for (const std::string& element : vector_elements(text.operands[k])) sources.push_back(element);
  append_row(row_name(text.parts), vector_elements(text.operands[0]), sources, text);
}

void Decoder::move(const InstructionText& text) {
  expect_operands(text, 2);
  const std::string type = text.parts.back();
  const uint32_t bytes = type_bytes(type);
  if (text.parts.size() != 2 || (bytes == 0 && type != "pred")) refuse(text);
  const std::vector<std::string> results = vector_elements(text.operands[0]), sources = vector_elements(text.operands[1]);
  const size_t parts = std::max(results.size(), sources.size());
  const char* operation = results.size() > 1 ? "unpack" : sources.size() > 1 ? "pack" : "mov";
  append_row(concat(operation, parts == 4 ? "4." : ".", bytes == 0 ? type : concat("b", 8 * bytes)), results, sources, text);
}

void Decoder::set_predicate(const InstructionText& text) {
  // setp.lt[.and|or|xor][.ftz].type p[|q], a, b[, [!]c]
  std::vector<std::string> parts = text.parts;
  std::string combination;
  for (const char* operation : {"and", "or", "xor"}) {
    if (parts.size() < 4 || parts[2] != operation) continue;
    combination = operation;
    parts.erase(parts.begin() + 2);
    break;
  }
  expect_operands(text, combination.empty() ? 3 : 4);
  const std::vector<std::string> results = split(text.operands[0], '|');
  const std::vector<std::string> sources = {text.operands[1], text.operands[2]};
  const std::string name = row_name(parts);
  if (combination.empty() && results.size() == 1) return append_row(name, results, sources, text);

  // With a combination or a second result: compare into a temporary, then write the results from it.
  const Slot other = combination.empty() ? Instruction::none : predicate_source(text.operands[3], text.line);
  const Slot compared = names_.temporary(Width::predicate), opposite = names_.temporary(Width::predicate);
  append_row(name, {"_"}, sources, text);
  kernel_.code.back().destination[0] = compared;
  append_predicate_row("not.pred", opposite, compared, compared, false);
  const std::string combine = combination + ".pred";
  const auto write = [&](const std::string& result, Slot value) {
    const Slot slot = names_.destination(std::string(trimmed(result)), Width::predicate, text.line);
    if (combination.empty()) append_predicate_row("mov.pred", slot, value, value, true);
    else append_predicate_row(combine.c_str(), slot, value, other, true);
  };
  if (results.size() > 1) write(results[1], opposite);
  write(results[0], compared);
}

void Decoder::branch(const InstructionText& text) {
  expect_operands(text, 1);
  names_.refer_to_label(text.operands[0], kernel_.code.size(), text.line);
  append(guarded(Action::branch));
}

void Decoder::exit(const InstructionText&) { append(guarded(Action::exit)); }

/** Fences order what the interpreter runs in order anyway; prefetches change no result. */
void Decoder::nothing(const InstructionText&) { append(guarded(Action::none)); }

}  // namespace sightline::emulator
