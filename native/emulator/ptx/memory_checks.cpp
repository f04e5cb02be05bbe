#include <algorithm>
#include <bit>
#include <cstring>

#include "emulator/ptx/block.h"

namespace sightline::emulator {
namespace {

template <class Word>
bool all_ones(const uint8_t* shadow) {
  Word bits;
  std::memcpy(&bits, shadow, sizeof bits);
  return bits == static_cast<Word>(0x0101010101010101u);
}

/** Whether `bytes` (1, 2, 4, 8, 16, or fewer than 16 of a copy) bytes of shadow are all set. */
bool all_initialised(const uint8_t* shadow, uint32_t bytes) {
  switch (bytes) {
    case 1: return *shadow != 0;
    case 2: return all_ones<uint16_t>(shadow);
    case 4: return all_ones<uint32_t>(shadow);
    case 8: return all_ones<uint64_t>(shadow);
    case 16: return all_ones<uint64_t>(shadow) && all_ones<uint64_t>(shadow + 8);
    default: return std::memchr(shadow, 0, bytes) == nullptr;
  }
}

/** Whether the lanes' accesses follow each other without gap. */
bool contiguous(const uint64_t (&addresses)[32], uint32_t bytes) {
  uint64_t differences = 0;
  for (uint64_t lane = 0; lane < 32; ++lane) differences |= addresses[lane] - (addresses[0] + lane * bytes);
  return differences == 0;
}

/** Alignment that an access of this many bytes needs: the next power of two. */
uint32_t alignment_of(uint32_t bytes) { return std::bit_ceil(bytes); }

}  // namespace

uint32_t Block::check_bounds(const Warp& warp, const Instruction& instruction, uint32_t mask, const Addresses& addresses,
                             uint32_t bytes, bool writes) {
  uint32_t inside = 0;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const uint64_t address = addresses[lane];
    const GlobalMemory::Allocation* allocation = context_.memory.find(address);
    if (allocation && bytes <= allocation->end - address) {
      inside |= 1u << lane;
      continue;
    }
    const auto& variables = kernel_.storage->variables;
    const bool module = std::any_of(variables.begin(), variables.end(), [&](const auto& entry) {
      const auto begin = reinterpret_cast<uintptr_t>(entry.second.data);
      return address >= begin && address + bytes <= begin + entry.second.bytes && !(writes && entry.second.constant);
    });
    if (module) {
      inside |= 1u << lane;
      continue;
    }
    std::string where = "outside of every allocation";
    if (allocation)
      where = concat("at offset ", address - allocation->begin, " of an allocation of ", allocation->end - allocation->begin,
                     " bytes");
    findings_.report(FindingKind::out_of_bounds, instruction, warp.index, lane,
                     concat(writes ? "a store of " : "a load of ", bytes, " bytes ", where, " (address ",
                            reinterpret_cast<const void*>(address), ")"));
  }
  return inside;
}

uint32_t Block::check_global(const Warp& warp, const Instruction& instruction, uint32_t mask, const Addresses& addresses,
                             uint32_t bytes, bool reads, bool writes) {
  uint64_t lowest = ~uint64_t{0}, highest = 0, misaligned = 0;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const uint64_t address = addresses[std::countr_zero(rest)];
    lowest = std::min(lowest, address);
    highest = std::max(highest, address);
    misaligned |= address & (alignment_of(bytes) - 1);
  }
  if (misaligned) {
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      if (!(addresses[lane] & (alignment_of(bytes) - 1))) continue;
      findings_.report(FindingKind::misaligned, instruction, warp.index, lane,
                       concat("an access of ", bytes, " bytes to global memory at ",
                              reinterpret_cast<const void*>(addresses[lane]), ", which is no multiple"));
      mask &= ~(1u << lane);
    }
    if (!mask) return 0;
  }
  // Nearly always all lanes of an instruction use one allocation, the one that it used before.
  GlobalMemory::Allocation*& last = allocations_[static_cast<size_t>(&instruction - kernel_.code.data())];
  const auto covers = [&](const GlobalMemory::Allocation* allocation) {
    return allocation && lowest >= allocation->begin && highest <= allocation->end && bytes <= allocation->end - highest;
  };
  if (!covers(last)) last = context_.memory.find(lowest);
  const bool common = covers(last);
  if (!common) mask = check_bounds(warp, instruction, mask, addresses, bytes, writes);
  const bool check_reads = reads && context_.checks.initialisation;
  if (common && mask == ~0u && contiguous(addresses, bytes)) {
    uint8_t* shadow = last->initialised.get() + (addresses[0] - last->begin);
    const bool initialised = !check_reads || std::memchr(shadow, 0, 32 * bytes) == nullptr;
    if (writes && initialised) std::memset(shadow, 1, 32 * bytes);
    if (initialised) return mask;
  }
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const GlobalMemory::Allocation* allocation = common ? last : context_.memory.find(addresses[lane]);
    // Module variables have initial values.
    if (!allocation || bytes > allocation->end - addresses[lane]) continue;
    uint8_t* shadow = allocation->initialised.get() + (addresses[lane] - allocation->begin);
    if (check_reads && !all_initialised(shadow, bytes))
      findings_.report(
          FindingKind::uninitialised, instruction, warp.index, lane,
          concat("a load of ", bytes, " bytes that nobody has written, at offset ", addresses[lane] - allocation->begin,
                 " of an allocation of ", allocation->end - allocation->begin, " bytes"));
    if (writes) std::memset(shadow, 1, bytes);
  }
  return mask;
}

uint32_t Block::check_shared(const Warp& warp, const Instruction& instruction, uint32_t mask, const Addresses& offsets,
                             uint32_t bytes) {
  uint64_t highest = 0, misaligned = 0;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    highest = std::max(highest, offsets[std::countr_zero(rest)]);
    misaligned |= offsets[std::countr_zero(rest)];
  }
  if (highest < shared_.size() && bytes <= shared_.size() - highest && !(misaligned & (bytes - 1))) return mask;
  uint32_t valid = 0;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (offsets[lane] >= shared_.size() || bytes > shared_.size() - offsets[lane]) {
      findings_.report(FindingKind::out_of_bounds, instruction, warp.index, lane,
                       concat("an access of ", bytes, " bytes at offset ", static_cast<int64_t>(offsets[lane]), " of ",
                              shared_.size(), " bytes of shared memory"));
    } else if (offsets[lane] & (bytes - 1)) {
      findings_.report(
          FindingKind::misaligned, instruction, warp.index, lane,
          concat("an access of ", bytes, " bytes at offset ", offsets[lane], " of shared memory, which is no multiple"));
    } else {
      valid |= 1u << lane;
    }
  }
  return valid;
}

void Block::report_breach(SharedShadow::Breach breach, const char* access, const Warp& warp, const Instruction& instruction,
                          int lane, uint64_t offset) {
  const Checks& checks = context_.checks;
  switch (breach) {
    case SharedShadow::Breach::none: return;
    case SharedShadow::Breach::uninitialised:
      if (checks.initialisation)
        findings_.report(FindingKind::uninitialised, instruction, warp.index, lane,
                         concat("a ", access, " of shared memory at offset ", offset, " that nobody has written"));
      return;
    case SharedShadow::Breach::race:
      if (checks.races)
        findings_.report(FindingKind::race, instruction, warp.index, lane,
                         concat("a ", access, " of shared memory at offset ", offset, ", ", shadow_.other_party(),
                                ", without a barrier in between"));
      return;
    case SharedShadow::Breach::in_flight:
      if (checks.races)
        findings_.report(FindingKind::async_copy, instruction, warp.index, lane,
                         concat("a ", access, " of shared memory at offset ", offset, ", ", shadow_.other_party(),
                                ": the copying thread has not waited for its cp.async"));
      return;
  }
}

}  // namespace sightline::emulator
