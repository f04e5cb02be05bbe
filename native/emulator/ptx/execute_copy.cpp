#include <algorithm>
#include <bit>
#include <cstring>

#include "emulator/ptx/block.h"
#include "emulator/ptx/traffic_counter.h"

namespace sightline::emulator {

void Block::copy_async(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t bytes = instruction.bytes;
  Addresses offsets, sources;
  addresses_of(warp, instruction.address, offsets);
  addresses_of(warp, instruction.from, sources);
  for (uint64_t& offset : offsets)
    if (offset >= shared_window) offset -= shared_window;
  mask = check_shared(warp, instruction, mask, offsets, bytes);

  // Lanes by the number of bytes that they read: nearly always all or none.
  AsyncCopy copy;
  copy.bytes = bytes;
  const uint32_t* wanted = instruction.flag ? warp.registers.lanes<uint32_t>(instruction.source[0]) : nullptr;
  uint32_t whole = 0, partial = 0;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const uint32_t read = wanted ? std::min(wanted[lane], bytes) : bytes;
    copy.source_bytes[lane] = static_cast<uint8_t>(read);
    (read == bytes ? whole : partial) |= 1u << lane;
  }
  uint32_t reading = whole ? check_global(warp, instruction, whole, sources, bytes, true, false) : 0;
  uint32_t failed = whole & ~reading;
  for (uint32_t rest = partial; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (copy.source_bytes[lane] == 0) continue;
    // The source has to be aligned to the size of the copy whatever is read of it.
    if (sources[lane] & (bytes - 1)) {
      findings_.report(FindingKind::misaligned, instruction, warp.index, lane,
                       concat("a cp.async of ", bytes, " bytes from an address that is no multiple"));
      failed |= 1u << lane;
    } else if (check_global(warp, instruction, 1u << lane, sources, copy.source_bytes[lane], true, false)) {
      reading |= 1u << lane;
    } else {
      failed |= 1u << lane;
    }
  }
  mask &= ~failed;
  if (!mask) return;

  ++traffic_.async_copies;
  traffic_.global_requests += reading != 0;
  for (uint32_t rest = reading; rest; rest &= rest - 1) traffic_.global_bytes_read += copy.source_bytes[std::countr_zero(rest)];
  if (context_.checks.count_traffic) {
    count_sectors(sources, reading, bytes, traffic_);
    count_wavefronts(offsets, mask, bytes, traffic_);
  }
  const CopyTime time = context_.checks.async_copies;
  const uint32_t early = time == CopyTime::early ? ~0u : time == CopyTime::late ? 0 : static_cast<uint32_t>(random_.next());
  copy.pending = mask;
  copy.landed = mask & early;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    copy.destination[lane] = static_cast<uint32_t>(offsets[lane]);
    copy.source[lane] = sources[lane];
    copy.group[lane] = warp.committed[lane];
    if (shadowed()) {
      const auto breach = shadow_.begin_copy(copy.destination[lane], bytes, warp.index, lane);
      if (breach != SharedShadow::Breach::none)
        report_breach(breach, "write by cp.async", warp, instruction, lane, offsets[lane]);
    }
    if (early >> lane & 1) land(copy, lane);
  }
  warp.copies.push_back(copy);
}

void Block::land(const AsyncCopy& copy, int lane) {
  uint8_t* destination = shared_.data() + copy.destination[lane];
  const uint32_t read = copy.source_bytes[lane];
  if (read) std::memcpy(destination, reinterpret_cast<const void*>(copy.source[lane]), read);
  std::memset(destination + read, 0, copy.bytes - read);
}

void Block::wait_copies(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const bool all = instruction.action == Action::wait_all;
  for (AsyncCopy& copy : warp.copies) {
    uint32_t complete = 0;
    for (uint32_t rest = copy.pending & mask; rest; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      // All but the latest `immediate` groups that the lane has committed.
      if (!all && copy.group[lane] + instruction.immediate >= warp.committed[lane]) continue;
      complete |= 1u << lane;
      if (!(copy.landed >> lane & 1)) land(copy, lane);
      if (shadowed()) shadow_.land(copy.destination[lane], copy.bytes, warp.index, lane);
    }
    copy.pending &= ~complete;
  }
  std::erase_if(warp.copies, [](const AsyncCopy& copy) { return copy.pending == 0; });
}

}  // namespace sightline::emulator
