#include "emulator/ptx/kernel_names.h"

#include <bit>
#include <charconv>
#include <cstdlib>

#include "emulator/ptx/statements.h"

namespace sightline::emulator {
namespace {

struct SpecialName {
  const char* name;
  SpecialRegister special;
};

constexpr SpecialName special_names[] = {
    {"%tid.x", SpecialRegister::tid_x},
    {"%tid.y", SpecialRegister::tid_y},
    {"%tid.z", SpecialRegister::tid_z},
    {"%ntid.x", SpecialRegister::ntid_x},
    {"%ntid.y", SpecialRegister::ntid_y},
    {"%ntid.z", SpecialRegister::ntid_z},
    {"%ctaid.x", SpecialRegister::ctaid_x},
    {"%ctaid.y", SpecialRegister::ctaid_y},
    {"%ctaid.z", SpecialRegister::ctaid_z},
    {"%nctaid.x", SpecialRegister::nctaid_x},
    {"%nctaid.y", SpecialRegister::nctaid_y},
    {"%nctaid.z", SpecialRegister::nctaid_z},
    {"%laneid", SpecialRegister::laneid},
    {"%warpid", SpecialRegister::warpid},
    {"%nwarpid", SpecialRegister::nwarpid},
    {"%lanemask_eq", SpecialRegister::lanemask_eq},
    {"%lanemask_le", SpecialRegister::lanemask_le},
    {"%lanemask_lt", SpecialRegister::lanemask_lt},
    {"%lanemask_ge", SpecialRegister::lanemask_ge},
    {"%lanemask_gt", SpecialRegister::lanemask_gt},
    {"%total_smem_size", SpecialRegister::total_smem_size},
    {"%dynamic_smem_size", SpecialRegister::dynamic_smem_size},
};

uint32_t round_up(uint32_t value, uint32_t to) { return (value + to - 1) / to * to; }

/** The number after `word` in a directive, or `otherwise`. */
uint32_t number_after(std::string_view directive, std::string_view word, uint32_t otherwise) {
  const size_t at = directive.find(word);
  return at == std::string_view::npos ? otherwise : static_cast<uint32_t>(std::strtoul(directive.data() + at + word.size(), nullptr, 10));
}

}  // namespace

uint32_t type_bytes(std::string_view type) {
  if (!type.empty() && type.front() == '.') type.remove_prefix(1);
  if (type == "bf16x2" || type == "f16x2") return 4;
  if (type == "bf16") return 2;
  if (type.size() < 2 || std::string_view("bsuf").find(type[0]) == std::string_view::npos) return 0;
  uint32_t bits = 0;
  const auto [end, error] = std::from_chars(type.data() + 1, type.data() + type.size(), bits);
  if (error != std::errc() || end != type.data() + type.size()) return 0;
  return bits == 8 || bits == 16 || bits == 32 || bits == 64 ? bits / 8 : 0;
}

KernelNames::KernelNames(Kernel& kernel, const ModuleNames& module) : kernel_(kernel), module_(module) { scopes_.push_back({-1, {}, {}}); }

void KernelNames::open_scope() {
  scopes_.push_back({scope_, {}, {}});
  scope_ = static_cast<int>(scopes_.size()) - 1;
}

void KernelNames::close_scope(uint32_t line) {
  if (scope_ == 0) fail_format(line, "a closing brace too many");
  scope_ = scopes_[static_cast<size_t>(scope_)].parent;
}

Slot KernelNames::temporary(Width width) {
  if (width == Width::predicate) return kernel_.predicates++;
  const Slot slot = kernel_.register_slots;
  kernel_.register_slots += width == Width::doubleword ? 2 : 1;
  slot_widths_.resize(kernel_.register_slots, width);
  return slot;
}

void KernelNames::declare_registers(std::string_view directive, uint32_t line) {
  // .reg .b32 %r<7>, name
  std::string_view rest = trimmed(directive.substr(4));
  const size_t blank = rest.find(' ');
  if (blank == std::string_view::npos) fail_format(line, "cannot read \"", directive, "\"");
  const std::string_view type = rest.substr(0, blank);
  const uint32_t bytes = type_bytes(type);
  if (bytes == 0 && type != ".pred") fail_unsupported(line, "registers of type ", type, " in \"", directive, "\"");
  const Width width = bytes == 0 ? Width::predicate : bytes == 8 ? Width::doubleword : Width::word;
  auto& registers = scopes_[static_cast<size_t>(scope_)].registers;
  for (const std::string& name : split_operands(rest.substr(blank))) {
    const size_t open = name.find('<');
    if (open == std::string::npos) {
      registers[name] = {width, temporary(width)};
      continue;
    }
    const uint32_t count = number_after(name, "<", 0);
    for (uint32_t k = 0; k < count; ++k) registers[name.substr(0, open) + std::to_string(k)] = {width, temporary(width)};
  }
}

void KernelNames::declare_shared(std::string_view directive, uint32_t line) {
  // .shared .align 16 .b8 name[512]
  const size_t open = directive.find('['), end = std::min(open, directive.size());
  const size_t blank = directive.rfind(' ', end);
  const size_t type = directive.rfind('.', blank);
  if (blank == std::string_view::npos || type == std::string_view::npos) fail_format(line, "cannot read \"", directive, "\"");
  const uint32_t element = type_bytes(trimmed(directive.substr(type, blank - type)));
  const uint32_t align = number_after(directive, ".align ", element);
  if (element == 0 || align == 0) fail_unsupported(line, "shared memory of this type: \"", directive, "\"");
  uint32_t count = 1;
  for (size_t at = open; at < directive.size(); at = directive.find('[', at + 1))
    count *= static_cast<uint32_t>(std::strtoul(directive.data() + at + 1, nullptr, 10));
  const uint32_t offset = round_up(kernel_.static_shared_bytes, align);
  shared_[std::string(trimmed(directive.substr(blank, end - blank)))] = offset;
  kernel_.static_shared_bytes = offset + element * count;
}

void KernelNames::define_label(const std::string& name, int64_t instruction_index, uint32_t line) {
  if (!scopes_[static_cast<size_t>(scope_)].labels.emplace(name, instruction_index).second)
    fail_format(line, "the label ", name, " is defined twice");
}

void KernelNames::refer_to_label(const std::string& name, size_t instruction_index, uint32_t line) {
  references_.push_back({name, scope_, instruction_index, line});
}

void KernelNames::resolve_labels() {
  for (const Reference& reference : references_) {
    const int64_t* target = nullptr;
    for (int scope = reference.scope; scope >= 0 && !target; scope = scopes_[static_cast<size_t>(scope)].parent) {
      const auto& labels = scopes_[static_cast<size_t>(scope)].labels;
      const auto found = labels.find(reference.label);
      if (found != labels.end()) target = &found->second;
    }
    if (!target) fail_format(reference.line, "there is no label ", reference.label);
    kernel_.code[reference.instruction].immediate = *target;
  }
}

const KernelNames::Register* KernelNames::find_register(const std::string& name) const {
  for (int scope = scope_; scope >= 0; scope = scopes_[static_cast<size_t>(scope)].parent) {
    const auto& registers = scopes_[static_cast<size_t>(scope)].registers;
    const auto found = registers.find(name);
    if (found != registers.end()) return &found->second;
  }
  return nullptr;
}

bool KernelNames::is_register(const std::string& text, Width width) const {
  const Register* found = find_register(text);
  return found && found->width == width;
}

const uint32_t* KernelNames::parameter(const std::string& name) const {
  const auto found = parameters_.find(name);
  return found == parameters_.end() ? nullptr : &found->second;
}

Slot KernelNames::constant(uint64_t value, Width width) {
  const auto [entry, added] = constants_.try_emplace({value, width}, 0);
  if (added) {
    entry->second = temporary(width);
    kernel_.constants.push_back({entry->second, width, value});
  }
  return entry->second;
}

bool KernelNames::constant_value(const std::string& text, Width width, uint64_t& value, uint32_t line) {
  const char* begin = text.c_str();
  char* end = nullptr;
  if (text.starts_with("0f") || text.starts_with("0F")) {
    if (width != Width::word) fail_format(line, "the float32 constant ", text, " where 64 bits are expected");
    value = std::strtoul(begin + 2, &end, 16);
  } else if (text.starts_with("0d") || text.starts_with("0D")) {
    if (width != Width::doubleword) fail_format(line, "the float64 constant ", text, " where 32 bits are expected");
    value = std::strtoull(begin + 2, &end, 16);
  } else if (!text.empty() && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'))) {
    if (text.find('.') != std::string::npos) {
      const double number = std::strtod(begin, &end);
      value = width == Width::word ? std::bit_cast<uint32_t>(static_cast<float>(number)) : std::bit_cast<uint64_t>(number);
    } else {
      const uint64_t magnitude = std::strtoull(begin + (text[0] == '-'), &end, 0);
      value = text[0] == '-' ? uint64_t{0} - magnitude : magnitude;
      if (*end == 'U') ++end;
    }
  } else if (text == "WARP_SZ") {
    value = 32;
  } else if (const auto found = shared_.find(text); found != shared_.end()) {
    value = found->second;
  } else if (const uint32_t* offset = parameter(text)) {
    value = *offset;
  } else if (const auto variable = module_.storage->variables.find(text); variable != module_.storage->variables.end()) {
    if (width != Width::doubleword) fail_format(line, "the address of ", text, " where 32 bits are expected");
    value = reinterpret_cast<uintptr_t>(variable->second.data);
  } else {
    return false;
  }
  if (end && *end) fail_format(line, "cannot read the number ", text);
  if (width == Width::word) value &= 0xffffffffu;
  return true;
}

Slot KernelNames::source(const std::string& text, Width width, uint32_t line) {
  if (const Register* found = find_register(text)) {
    if (found->width != width) fail_format(line, "the register ", text, " has another width than the instruction expects");
    return found->slot;
  }
  if (const auto known = specials_.find(text); known != specials_.end() && width == Width::word) return known->second;
  for (const SpecialName& special : special_names) {
    if (text != special.name) continue;
    if (width != Width::word) fail_format(line, text, " where 32 bits are not expected");
    const Slot slot = temporary(width);
    kernel_.specials.emplace_back(slot, special.special);
    return specials_[text] = slot;
  }
  if (const auto found = module_.static_shared.find(text); found != module_.static_shared.end() && !shared_.contains(text))
    declare_shared(found->second, line);
  if (module_.dynamic_shared.contains(text) && !shared_.contains(text)) {
    // One register per width and array, filled in by finish_shared().
    const std::string key = concat(text, width == Width::word ? " 32" : " 64");
    if (const auto known = specials_.find(key); known != specials_.end()) return known->second;
    const uint32_t align = std::max(16u, module_.dynamic_shared.at(text));
    kernel_.dynamic_shared_offset = std::max(kernel_.dynamic_shared_offset, align);
    dynamic_addresses_.push_back(kernel_.constants.size());
    kernel_.constants.push_back({temporary(width), width, 0});
    return specials_[key] = kernel_.constants.back().slot;
  }
  uint64_t value = 0;
  if (constant_value(text, width, value, line)) return constant(width == Width::predicate ? value != 0 : value, width);
  if (text.starts_with("%")) fail_unsupported(line, "the register ", text, " is not declared, or a special one that the interpreter lacks");
  fail_format(line, "cannot read the operand \"", text, "\"");
}

Slot KernelNames::destination(const std::string& text, Width width, uint32_t line) {
  if (text == "_") return temporary(width);
  const Register* found = find_register(text);
  if (!found) fail_format(line, "\"", text, "\" is not a register to write to");
  if (found->width != width) fail_format(line, "the register ", text, " has another width than the instruction expects");
  return found->slot;
}

Address KernelNames::address(const std::string& text, uint32_t line) {
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') fail_format(line, "expected an address in brackets, received \"", text, "\"");
  std::string base(trimmed(std::string_view(text).substr(1, text.size() - 2)));
  Address address;
  const size_t plus = base.find('+');
  if (plus != std::string::npos) {
    const std::string offset(trimmed(std::string_view(base).substr(plus + 1)));
    char* end = nullptr;
    address.offset = std::strtoll(offset.c_str(), &end, 0);
    if (end == offset.c_str() || *end) fail_format(line, "cannot read the displacement in ", text);
    base = std::string(trimmed(std::string_view(base).substr(0, plus)));
  }
  address.wide = !is_register(base, Width::word);
  address.base = source(base, address.wide ? Width::doubleword : Width::word, line);
  return address;
}

void KernelNames::finish_shared() {
  // Until here the field collects the alignment that the kernel's dynamic arrays ask for.
  kernel_.dynamic_shared_offset = round_up(kernel_.static_shared_bytes, std::max(16u, kernel_.dynamic_shared_offset));
  for (const size_t index : dynamic_addresses_) kernel_.constants[index].value = kernel_.dynamic_shared_offset;
}

}  // namespace sightline::emulator
