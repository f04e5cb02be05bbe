#include "emulator/ptx/register_allocation.h"

#include <algorithm>
#include <limits>

#include "emulator/ptx/row_table.h"

namespace sightline::emulator {
namespace {

/** Calls `read(slot)` and `write(slot)` for the registers of an instruction, predicates left out; both may change the slot. */
template <class Read, class Write>
void visit_registers(Instruction& instruction, const Read& read, const Write& write) {
  const auto reads = [&](size_t count) {
    for (size_t k = 0; k < count; ++k) read(instruction.source[k]);
  };
  const auto writes = [&](size_t count) {
    for (size_t k = 0; k < count; ++k) write(instruction.destination[k]);
  };
  switch (instruction.action) {
    case Action::compute: {
      const Row& row = RowTable::instance().row(instruction.row);
      for (size_t k = 0; k < row.sources; ++k)
        if (row.source[k] != Width::predicate) read(instruction.source[k]);
      for (size_t k = 0; k < row.results; ++k)
        if (row.result[k] != Width::predicate) write(instruction.destination[k]);
      return;
    }
    case Action::load:
    case Action::load_parameter:
    case Action::load_matrix:
      read(instruction.address.base);
      return writes(instruction.elements);
    case Action::store:
      read(instruction.address.base);
      return reads(instruction.elements);
    case Action::atomic:
      read(instruction.address.base);
      reads(instruction.atomic == Atomic::compare_exchange ? 2 : 1);
      return writes(instruction.flag);
    case Action::copy_async:
      read(instruction.address.base);
      read(instruction.from.base);
      return reads(instruction.flag);
    case Action::barrier_sync:
    case Action::barrier_arrive: return reads(instruction.flag ? 2 : 1);
    case Action::warp_sync: return reads(1);
    case Action::shuffle:
      reads(4);
      return writes(1);
    case Action::vote:
      read(instruction.source[1]);
      return writes(instruction.vote == Vote::ballot);
    case Action::reduce:
      reads(2);
      return writes(1);
    case Action::active_mask: return writes(1);
    case Action::branch:
    case Action::exit:
    case Action::commit_group:
    case Action::wait_group:
    case Action::wait_all:
    case Action::none: return;
  }
}

/** Where in the code a register holds a value that may still be read. */
struct Interval {
  size_t first = std::numeric_limits<size_t>::max(), last = 0;
  void include(size_t position) {
    first = std::min(first, position);
    last = std::max(last, position);
  }
};

/** Live intervals of all slots, by the usual backward data flow over instructions. */
std::vector<Interval> live_intervals(std::vector<Instruction>& code, size_t slots) {
  const size_t words = (slots + 63) / 64;
  std::vector<uint64_t> live_in((code.size() + 1) * words, 0), live(words);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t position = code.size(); position-- > 0;) {
      Instruction& instruction = code[position];
      const bool guarded = instruction.guard != Instruction::none;
      const bool falls_through = guarded || (instruction.action != Action::exit && instruction.action != Action::branch);
      for (size_t k = 0; k < words; ++k) {
        live[k] = falls_through ? live_in[(position + 1) * words + k] : 0;
        if (instruction.action == Action::branch) live[k] |= live_in[static_cast<size_t>(instruction.immediate) * words + k];
      }
      // A guarded write leaves the lanes whose guard is false as they were.
      if (!guarded) visit_registers(instruction, [](Slot) {}, [&](Slot slot) { live[slot / 64] &= ~(uint64_t{1} << slot % 64); });
      visit_registers(instruction, [&](Slot slot) { live[slot / 64] |= uint64_t{1} << slot % 64; }, [](Slot) {});
      uint64_t* known = &live_in[position * words];
      changed = changed || !std::equal(live.begin(), live.end(), known);
      std::copy(live.begin(), live.end(), known);
    }
  }
  std::vector<Interval> intervals(slots);
  for (size_t position = 0; position < code.size(); ++position) {
    const auto include = [&](Slot slot) { intervals[slot].include(position); };
    visit_registers(code[position], include, include);
    for (size_t k = 0; k < words; ++k)
      for (uint64_t bits = live_in[position * words + k]; bits; bits &= bits - 1)
        include(static_cast<Slot>(64 * k) + static_cast<Slot>(__builtin_ctzll(bits)));
  }
  return intervals;
}

}  // namespace

void allocate_registers(Kernel& kernel, const std::vector<Width>& widths) {
  const size_t slots = kernel.register_slots;
  std::vector<Interval> intervals = live_intervals(kernel.code, slots);
  // Constants and special registers are filled before the kernel runs and live throughout.
  const auto keep = [&](Slot slot) { intervals[slot] = {0, kernel.code.size()}; };
  for (const ConstantRegister& constant : kernel.constants)
    if (constant.width != Width::predicate) keep(constant.slot);
  for (const auto& [slot, special] : kernel.specials) keep(slot);

  std::vector<Slot> order;
  for (Slot slot = 0; slot < slots; ++slot)
    if (intervals[slot].first <= intervals[slot].last) order.push_back(slot);
  std::sort(order.begin(), order.end(), [&](Slot a, Slot b) { return intervals[a].first < intervals[b].first; });

  // Slots that are in use until a position, as a heap with the earliest on top; words and doublewords apart.
  using Used = std::pair<size_t, Slot>;
  std::vector<Used> used[2];
  std::vector<Slot> renamed(slots, 0);
  Slot count = 0;
  for (const Slot slot : order) {
    const bool wide = widths[slot] == Width::doubleword;
    auto& heap = used[wide];
    if (!heap.empty() && heap.front().first < intervals[slot].first) {
      std::pop_heap(heap.begin(), heap.end(), std::greater<>());
      renamed[slot] = heap.back().second;
      heap.pop_back();
    } else {
      renamed[slot] = count;
      count += wide ? 2 : 1;
    }
    heap.emplace_back(intervals[slot].last, renamed[slot]);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }

  const auto rename = [&](Slot& slot) { slot = renamed[slot]; };
  for (Instruction& instruction : kernel.code) visit_registers(instruction, rename, rename);
  for (ConstantRegister& constant : kernel.constants)
    if (constant.width != Width::predicate) rename(constant.slot);
  for (auto& [slot, special] : kernel.specials) rename(slot);
  kernel.register_slots = count;
}

}  // namespace sightline::emulator
