#include <algorithm>

#include "emulator/ptx/decoder.h"
#include "emulator/ptx/row_table.h"

namespace sightline::emulator {
namespace {

/** Parts of loads, stores and atomics that change no result here: ordering, scope, caching. */
bool is_hint(std::string_view part) {
  static constexpr std::string_view hints[] = {"weak", "volatile", "relaxed", "acquire", "release", "acq_rel", "cta",
                                               "gpu",  "sys",      "cluster", "ca",      "cg",      "cs",      "lu",
                                               "cv",   "wb",       "wt",      "nc",      "entry"};
  if (part == "L2::cache_hint") return false;
  return std::find(std::begin(hints), std::end(hints), part) != std::end(hints) || part.starts_with("L1::") ||
         part.starts_with("L2::");
}

}  // namespace

Space Decoder::space_of(const InstructionText& text, Instruction& instruction) const {
  Space space = Space::generic;
  for (size_t k = 1; k + 1 < text.parts.size(); ++k) {
    const std::string& part = text.parts[k];
    if (part == "global") space = Space::global;
    else if (part == "shared" || part == "shared::cta") space = Space::shared;
    else if (part == "const") space = Space::constant;
    else if (part == "local") refuse(text, "local memory (a register spill, or an array indexed at run time) is not supported");
    else if (part == "param" || part == "param::entry") instruction.action = Action::load_parameter;
    else if (part == "v2" || part == "v4") instruction.elements = part == "v2" ? 2 : 4;
    else if (!is_hint(part)) refuse(text);
  }
  return space;
}

std::vector<std::string> Decoder::element_operands(const InstructionText& text, const std::string& operand,
                                                   Instruction& instruction) const {
  const std::string& type = text.parts.back();
  const uint32_t bytes = type_bytes(type);
  if (bytes == 0) refuse(text);
  instruction.bytes = static_cast<uint8_t>(bytes);
  instruction.sign_extended = type[0] == 's' && bytes < 8;
  std::vector<std::string> elements = vector_elements(operand);
  if (elements.size() != instruction.elements || bytes * instruction.elements > 16)
    fail_format(text.line, "a vector of the wrong size: \"", text.whole, "\"");
  return elements;
}

void Decoder::note_shared_access(Space space, uint32_t bytes) {
  if (space == Space::shared || space == Space::generic) kernel_.shared_granularity = std::min(kernel_.shared_granularity, bytes);
}

void Decoder::load(const InstructionText& text) {
  expect_operands(text, 2);
  Instruction instruction = guarded(Action::load);
  instruction.space = space_of(text, instruction);
  const std::vector<std::string> elements = element_operands(text, text.operands[0], instruction);
  instruction.address = names_.address(text.operands[1], text.line);
  // A register may be wider than what is loaded into it.
  instruction.widened = instruction.action == Action::load && instruction.bytes < 8 && names_.is_register(elements[0], Width::doubleword);
  const Width width = instruction.bytes == 8 || instruction.widened ? Width::doubleword : Width::word;
  for (size_t k = 0; k < elements.size(); ++k) {
    if (instruction.bytes < 8 && elements[k] != "_" && !names_.is_register(elements[k], width)) refuse(text);
    instruction.destination[k] = names_.destination(elements[k], width, text.line);
  }
  if (instruction.action == Action::load) note_shared_access(instruction.space, instruction.bytes);
  append(instruction);
}

void Decoder::store(const InstructionText& text) {
  expect_operands(text, 2);
  Instruction instruction = guarded(Action::store);
  instruction.space = space_of(text, instruction);
  if (instruction.action != Action::store || instruction.space == Space::constant) refuse(text);
  const std::vector<std::string> elements = element_operands(text, text.operands[1], instruction);
  instruction.widened = instruction.bytes < 8 && names_.is_register(elements[0], Width::doubleword);
  const Width width = instruction.bytes == 8 || instruction.widened ? Width::doubleword : Width::word;
  instruction.address = names_.address(text.operands[0], text.line);
  for (size_t k = 0; k < elements.size(); ++k) instruction.source[k] = names_.source(elements[k], width, text.line);
  note_shared_access(instruction.space, instruction.bytes);
  append(instruction);
}

void Decoder::convert_address(const InstructionText& text) {
  expect_operands(text, 2);
  // Global, constant and generic addresses are host pointers; shared ones are offsets, and generic ones of shared memory lie in a
  // window.
  const bool shared = text.has("shared") || text.has("shared::cta");
  if (text.parts.back() != "u64" || text.has("local") || text.has("param")) refuse(text);
  if (!shared) return append_row("mov.b64", {text.operands[0]}, {text.operands[1]}, text);
  append_row(text.has("to") ? "sub.u64" : "add.u64", {text.operands[0]}, {text.operands[1], std::to_string(shared_window)}, text);
}

void Decoder::atomic(const InstructionText& text) {
  // atom[.sem][.scope][.space].op.type d, [a], b[, c];  red without d
  static const std::pair<const char*, Atomic> operations[] = {
      {"add", Atomic::add},       {"min", Atomic::min},      {"max", Atomic::max},       {"and", Atomic::bit_and},
      {"or", Atomic::bit_or},     {"xor", Atomic::bit_xor},  {"exch", Atomic::exchange}, {"cas", Atomic::compare_exchange},
      {"inc", Atomic::increment}, {"dec", Atomic::decrement}};
  const std::string& type = text.parts.back();
  if (type[0] == 'f' || type.starts_with("bf"))
    refuse(text, "atomics on floating-point numbers make results depend on the order of blocks and are not supported");
  Instruction instruction = guarded(Action::atomic);
  instruction.bytes = static_cast<uint8_t>(type_bytes(type));
  if (instruction.bytes < 4) refuse(text);
  instruction.is_signed = type[0] == 's';
  const bool has_result = text.parts[0] == "atom";
  bool known = false;
  for (size_t k = 1; k + 1 < text.parts.size(); ++k) {
    const std::string& part = text.parts[k];
    const auto operation =
        std::find_if(std::begin(operations), std::end(operations), [&](const auto& entry) { return part == entry.first; });
    if (operation != std::end(operations)) {
      instruction.atomic = operation->second;
      known = true;
    } else if (part == "global") {
      instruction.space = Space::global;
    } else if (part == "shared" || part == "shared::cta") {
      instruction.space = Space::shared;
    } else if (!is_hint(part)) {
      refuse(text);
    }
  }
  if (!known) refuse(text);
  const size_t sources = instruction.atomic == Atomic::compare_exchange ? 2 : 1;
  expect_operands(text, has_result + 1 + sources);
  const Width width = instruction.bytes == 8 ? Width::doubleword : Width::word;
  instruction.flag = has_result && text.operands[0] != "_";
  if (instruction.flag) instruction.destination[0] = names_.destination(text.operands[0], width, text.line);
  instruction.address = names_.address(text.operands[has_result], text.line);
  for (size_t k = 0; k < sources; ++k) instruction.source[k] = names_.source(text.operands[has_result + 1 + k], width, text.line);
  append(instruction);
}

void Decoder::load_matrix(const InstructionText& text) {
  // ldmatrix.sync.aligned.m8n8.x4[.trans].shared.b16 {d...}, [a]
  expect_operands(text, 2);
  Instruction instruction = guarded(Action::load_matrix);
  if (!text.has("m8n8") || !(text.has("shared") || text.has("shared::cta")) || text.parts.back() != "b16") refuse(text);
  instruction.elements = text.has("x4") ? 4 : text.has("x2") ? 2 : 1;
  instruction.flag = text.has("trans");
  instruction.bytes = 16;
  instruction.space = Space::shared;
  const std::vector<std::string> elements = vector_elements(text.operands[0]);
  if (elements.size() != instruction.elements) fail_format(text.line, "a vector of the wrong size: \"", text.whole, "\"");
  for (size_t k = 0; k < elements.size(); ++k)
    instruction.destination[k] = names_.destination(elements[k], Width::word, text.line);
  instruction.address = names_.address(text.operands[1], text.line);
  append(instruction);
}

void Decoder::copy_async(const InstructionText& text) {
  if (!text.has("async") || text.has("bulk") || text.has("mbarrier")) refuse(text);
  if (text.has("commit_group")) return append(guarded(Action::commit_group));
  if (text.has("wait_all")) return append(guarded(Action::wait_all));
  if (text.has("wait_group")) {
    expect_operands(text, 1);
    Instruction wait = guarded(Action::wait_group);
    wait.immediate = std::stoll(text.operands[0]);
    return append(wait);
  }
  // cp.async.ca|cg.shared.global [dst], [src], size[, bytes of src]
  if (text.operands.size() != 3 && text.operands.size() != 4) refuse(text);
  for (size_t k = 2; k < text.parts.size(); ++k)
    if (text.parts[k] != "shared" && text.parts[k] != "shared::cta" && text.parts[k] != "global" && !is_hint(text.parts[k]))
      refuse(text);
  Instruction copy = guarded(Action::copy_async);
  copy.address = names_.address(text.operands[0], text.line);
  copy.from = names_.address(text.operands[1], text.line);
  const int bytes = std::atoi(text.operands[2].c_str());
  if (bytes != 4 && bytes != 8 && bytes != 16) fail_format(text.line, "cp.async copies 4, 8 or 16 bytes: \"", text.whole, "\"");
  if (text.has("cg") && bytes != 16) fail_format(text.line, "cp.async.cg copies 16 bytes: \"", text.whole, "\"");
  copy.bytes = static_cast<uint8_t>(bytes);
  copy.flag = text.operands.size() == 4;
  if (copy.flag) {
    if (names_.is_register(text.operands[3], Width::predicate))
      refuse(text, "cp.async with ignore-src is not supported; give the number of source bytes");
    copy.source[0] = names_.source(text.operands[3], Width::word, text.line);
  }
  append(copy);
}

}  // namespace sightline::emulator
