#include <atomic>
#include <bit>

#include "emulator/ptx/block.h"
#include "emulator/ptx/traffic_counter.h"

namespace sightline::emulator {
namespace {

/** What the operation leaves in memory, of the old value and the operands. */
template <class Unsigned, class Signed>
Unsigned next_value(const Instruction& instruction, Unsigned old, Unsigned a, Unsigned b) {
  const bool less = instruction.is_signed ? static_cast<Signed>(a) < static_cast<Signed>(old) : a < old;
  switch (instruction.atomic) {
    case Atomic::add: return old + a;
    case Atomic::min: return less ? a : old;
    case Atomic::max: return less ? old : a;
    case Atomic::bit_and: return old & a;
    case Atomic::bit_or: return old | a;
    case Atomic::bit_xor: return old ^ a;
    case Atomic::exchange: return a;
    case Atomic::compare_exchange: return old == a ? b : old;
    case Atomic::increment: return old >= a ? 0 : old + 1;
    case Atomic::decrement: return old == 0 || old > a ? a : old - 1;
  }
  return old;
}

template <class Unsigned, class Signed>
void update_lanes(const Warp& warp, const Instruction& instruction, uint32_t mask, uint8_t* const (&pointers)[32]) {
  const Unsigned* a = warp.registers.lanes<Unsigned>(instruction.source[0]);
  const Unsigned* b = warp.registers.lanes<Unsigned>(instruction.source[1]);
  Unsigned* result = instruction.flag ? warp.registers.lanes<Unsigned>(instruction.destination[0]) : nullptr;
  for (; mask; mask &= mask - 1) {
    const int lane = std::countr_zero(mask);
    // Blocks on other host threads may be at the same address.
    std::atomic_ref<Unsigned> value(*reinterpret_cast<Unsigned*>(pointers[lane]));
    Unsigned old = value.load();
    const bool compare = instruction.atomic == Atomic::compare_exchange;
    while (!value.compare_exchange_weak(old, next_value<Unsigned, Signed>(instruction, old, a[lane], compare ? b[lane] : 0))) {
    }
    if (result) result[lane] = old;
  }
}

}  // namespace

void Block::atomic(Warp& warp, const Instruction& instruction, uint32_t mask) {
  Addresses addresses;
  addresses_of(warp, instruction.address, addresses);
  const uint32_t bytes = instruction.bytes;
  uint32_t in_shared = instruction.space == Space::shared ? mask : 0;
  if (instruction.space == Space::generic)
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      if (addresses[lane] - shared_window >= (uint64_t{1} << 32)) continue;
      addresses[lane] -= shared_window;
      in_shared |= 1u << lane;
    }
  uint32_t in_global = mask & ~in_shared;
  if (in_global) {
    in_global = check_global(warp, instruction, in_global, addresses, bytes, true, true);
    ++traffic_.global_requests;
    const uint32_t touched = bytes * static_cast<uint32_t>(std::popcount(in_global));
    traffic_.global_bytes_read += touched;
    traffic_.global_bytes_written += touched;
    if (context_.checks.count_traffic) count_sectors(addresses, in_global, bytes, traffic_);
  }
  if (in_shared) in_shared = check_shared(warp, instruction, in_shared, addresses, bytes);
  uint8_t* pointers[32];
  for (uint32_t rest = in_global; rest; rest &= rest - 1)
    pointers[std::countr_zero(rest)] = reinterpret_cast<uint8_t*>(addresses[std::countr_zero(rest)]);
  for (uint32_t rest = in_shared; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    pointers[lane] = shared_.data() + addresses[lane];
    if (!shadowed()) continue;
    const auto breach = shadow_.atomic(static_cast<uint32_t>(addresses[lane]), bytes, warp.index, lane);
    if (breach != SharedShadow::Breach::none) report_breach(breach, "atomic", warp, instruction, lane, addresses[lane]);
  }
  if (bytes == 8) update_lanes<uint64_t, int64_t>(warp, instruction, in_global | in_shared, pointers);
  else update_lanes<uint32_t, int32_t>(warp, instruction, in_global | in_shared, pointers);
}

}  // namespace sightline::emulator
