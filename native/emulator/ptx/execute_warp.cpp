#include <algorithm>
#include <bit>

#include "emulator/ptx/block.h"

namespace sightline::emulator {
namespace {

bool is_warp_wide(const Instruction& instruction) {
  switch (instruction.action) {
    case Action::compute: return instruction.aligned;
    case Action::load_matrix:
    case Action::barrier_sync:
    case Action::barrier_arrive:
    case Action::warp_sync:
    case Action::shuffle:
    case Action::vote:
    case Action::reduce: return true;
    default: return false;
  }
}

/** Which source of a warp-wide instruction is the mask of the lanes that take part; -1 if it has none. */
int member_mask_source(const Instruction& instruction) {
  switch (instruction.action) {
    case Action::warp_sync: return 0;
    case Action::vote:
    case Action::reduce: return 1;
    case Action::shuffle: return 3;
    default: return -1;
  }
}

void write_predicate(Warp& warp, Slot slot, uint32_t values, uint32_t mask) {
  uint32_t& predicate = warp.registers.predicates[slot];
  predicate = (predicate & ~mask) | (values & mask);
}

/** Calls `function(members)` for every distinct member mask of the lanes of `mask`, with the lanes that name it. */
template <class Function>
void for_each_membership(const uint32_t* members, uint32_t mask, const Function& function) {
  while (mask) {
    const uint32_t set = members[std::countr_zero(mask)];
    uint32_t lanes = 0;
    for (uint32_t rest = mask; rest; rest &= rest - 1)
      if (members[std::countr_zero(rest)] == set) lanes |= rest & (0u - rest);
    function(set, lanes);
    mask &= ~lanes;
  }
}

}  // namespace

LaneGroup* Block::select_group(Warp& warp) {
  auto& groups = warp.groups;
  if (groups.size() > 1) {
    std::sort(groups.begin(), groups.end(), [](const LaneGroup& a, const LaneGroup& b) { return a.pc < b.pc; });
    size_t last = 0;
    for (size_t k = 1; k < groups.size(); ++k) {
      if (groups[k].pc == groups[last].pc) groups[last] = {groups[last].pc, groups[last].mask | groups[k].mask, false};
      else groups[++last] = groups[k];
    }
    groups.resize(last + 1);
  }
  for (LaneGroup& group : groups)
    if (!group.blocked) return &group;
  return nullptr;
}

void Block::run_warp(Warp& warp, uint64_t instructions) {
  const Instruction* code = kernel_.code.data();
  while (instructions > 0 && warp.runnable() && !abandoned_) {
    LaneGroup* group = select_group(warp);
    if (!group) {
      report_divergence(warp, warp.groups.front());
      abandoned_ = true;
      return;
    }
    // While all lanes are together this loop does not look for groups again.
    do {
      const Instruction& instruction = code[group->pc];
      uint32_t mask = group->mask;
      if (instruction.guard != Instruction::none) {
        const uint32_t guard = warp.registers.predicates[instruction.guard];
        mask &= instruction.guard_negated ? ~guard : guard;
      }
      if (mask && is_warp_wide(instruction) && !converged(warp, instruction, mask)) {
        group->blocked = true;
        break;
      }
      if (instructions_left_ == 0) {
        findings_.report(FindingKind::budget, instruction, warp.index, -1,
                         concat("the block has executed ", context_.checks.instructions_per_block,
                                " warp instructions and goes on: an endless loop?"));
        abandoned_ = true;
        return;
      }
      --instructions_left_;
      --instructions;
      ++traffic_.warp_instructions;
      if (instruction.action == Action::compute) {
        if (mask) context_.functions[instruction.row](warp.registers, instruction, mask);
        // Of the aligned rows there is one, the matrix product.
        traffic_.mma += instruction.aligned && mask;
        ++group->pc;
      } else if (instruction.action == Action::branch) {
        const auto target = static_cast<uint32_t>(instruction.immediate);
        const uint32_t staying = group->mask & ~mask;
        if (staying && mask) {
          const uint32_t next = group->pc + 1;
          *group = {target, mask, false};
          warp.groups.push_back({next, staying, false});
          break;
        }
        group->pc = mask ? target : group->pc + 1;
      } else if (instruction.action == Action::exit) {
        if (mask) {
          exit_lanes(warp, *group, instruction, mask);
          break;
        }
        ++group->pc;
      } else {
        ++group->pc;
        if (mask) execute(warp, instruction, mask);
      }
    } while (warp.groups.size() == 1 && instructions > 0 && warp.barrier == Warp::no_barrier && !abandoned_);
  }
}

void Block::execute(Warp& warp, const Instruction& instruction, uint32_t mask) {
  switch (instruction.action) {
    case Action::load:
    case Action::store: return access(warp, instruction, mask);
    case Action::atomic: return atomic(warp, instruction, mask);
    case Action::load_parameter: return load_parameter(warp, instruction, mask);
    case Action::load_matrix: return load_matrix(warp, instruction);
    case Action::copy_async: return copy_async(warp, instruction, mask);
    case Action::commit_group:
      for (; mask; mask &= mask - 1) ++warp.committed[std::countr_zero(mask)];
      return;
    case Action::wait_group:
    case Action::wait_all: return wait_copies(warp, instruction, mask);
    case Action::barrier_sync:
    case Action::barrier_arrive: return reach_barrier(warp, instruction, mask);
    case Action::warp_sync: return sync_warp(warp, instruction, mask);
    case Action::shuffle: return shuffle(warp, instruction, mask);
    case Action::vote: return vote(warp, instruction, mask);
    case Action::reduce: return reduce(warp, instruction, mask);
    case Action::active_mask: {
      uint32_t* result = warp.registers.lanes<uint32_t>(instruction.destination[0]);
      for (uint32_t rest = mask; rest; rest &= rest - 1) result[std::countr_zero(rest)] = mask;
      return;
    }
    case Action::compute:
    case Action::branch:
    case Action::exit:
    case Action::none: return;
  }
}

void Block::exit_lanes(Warp& warp, LaneGroup& group, const Instruction& instruction, uint32_t mask) {
  for (const AsyncCopy& copy : warp.copies) {
    if (!(copy.pending & mask)) continue;
    findings_.report(FindingKind::async_copy, instruction, warp.index, std::countr_zero(copy.pending & mask),
                     "a thread ends without having waited for its cp.async");
    break;
  }
  warp.exited |= mask;
  if (mask == group.mask) {
    group = warp.groups.back();
    warp.groups.pop_back();
  } else {
    group.mask &= ~mask;
    ++group.pc;
  }
  // Others may have waited for lanes that do not count any more.
  for (LaneGroup& other : warp.groups) other.blocked = false;
  if (warp.done()) warp_ended();
}

bool Block::converged(const Warp& warp, const Instruction& instruction, uint32_t mask) {
  const int source = member_mask_source(instruction);
  if (source < 0) {
    const bool block_barrier = instruction.action == Action::barrier_sync || instruction.action == Action::barrier_arrive;
    return mask == (block_barrier ? warp.live() : ~0u);
  }
  const uint32_t* members = warp.registers.lanes<uint32_t>(instruction.source[source]);
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if ((members[lane] & warp.live() & ~mask) || !(members[lane] >> lane & 1)) return false;
  }
  return true;
}

void Block::report_divergence(const Warp& warp, const LaneGroup& group) {
  const Instruction& instruction = kernel_.code[group.pc];
  const bool block_barrier = instruction.action == Action::barrier_sync || instruction.action == Action::barrier_arrive;
  const int lane = std::countr_zero(group.mask);
  std::ostringstream message;
  message << std::hex << "lanes 0x" << group.mask << " of a warp are at ";
  if (block_barrier) {
    message << "a block barrier and the other live lanes, 0x" << (warp.live() & ~group.mask) << ", never come";
  } else if (const int source = member_mask_source(instruction); source >= 0) {
    message << "an instruction whose member mask is 0x" << warp.registers.lanes<uint32_t>(instruction.source[source])[lane]
            << ": the mask has to name the lanes that execute it, and all of them";
  } else {
    message << "an instruction that all 32 lanes have to execute";
  }
  findings_.report(block_barrier ? FindingKind::barrier : FindingKind::divergence, instruction, warp.index, -1, message.str());
}

void Block::shuffle(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t* values = warp.registers.lanes<uint32_t>(instruction.source[0]);
  const uint32_t* selectors = warp.registers.lanes<uint32_t>(instruction.source[1]);
  const uint32_t* limits = warp.registers.lanes<uint32_t>(instruction.source[2]);
  uint32_t results[32], in_range = 0;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const int by = static_cast<int>(selectors[lane] & 31), segment = static_cast<int>(limits[lane] >> 8 & 31),
              clamp = static_cast<int>(limits[lane] & 31);
    const int last = (lane & segment) | (clamp & ~segment);
    int from = 0;
    bool valid = false;
    switch (instruction.shuffle) {
      case Shuffle::up: from = lane - by, valid = from >= last; break;
      case Shuffle::down: from = lane + by, valid = from <= last; break;
      case Shuffle::butterfly: from = lane ^ by, valid = from <= last; break;
      case Shuffle::index: from = (lane & segment) | (by & ~segment), valid = from <= last; break;
    }
    if (!valid) from = lane;
    if (!(mask >> from & 1))
      findings_.report(FindingKind::divergence, instruction, warp.index, lane,
                       concat("a shuffle from lane ", from, ", which does not take part"));
    results[lane] = values[from];
    in_range |= static_cast<uint32_t>(valid) << lane;
  }
  uint32_t* destination = warp.registers.lanes<uint32_t>(instruction.destination[0]);
  for (uint32_t rest = mask; rest; rest &= rest - 1) destination[std::countr_zero(rest)] = results[std::countr_zero(rest)];
  if (instruction.destination[1] != Instruction::none) write_predicate(warp, instruction.destination[1], in_range, mask);
}

void Block::vote(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t values = warp.registers.predicates[instruction.source[0]];
  for_each_membership(warp.registers.lanes<uint32_t>(instruction.source[1]), mask, [&](uint32_t members, uint32_t lanes) {
    const uint32_t voters = members & mask, in_favour = values & voters;
    if (instruction.vote == Vote::ballot) {
      uint32_t* result = warp.registers.lanes<uint32_t>(instruction.destination[0]);
      for (uint32_t rest = lanes; rest; rest &= rest - 1) result[std::countr_zero(rest)] = in_favour;
      return;
    }
    const bool all = in_favour == voters, none = in_favour == 0;
    const bool result = instruction.vote == Vote::all ? all : instruction.vote == Vote::any ? !none : all || none;
    write_predicate(warp, instruction.destination[0], result ? ~0u : 0, lanes);
  });
}

void Block::reduce(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t* values = warp.registers.lanes<uint32_t>(instruction.source[0]);
  uint32_t results[32] = {};
  for_each_membership(warp.registers.lanes<uint32_t>(instruction.source[1]), mask, [&](uint32_t members, uint32_t lanes) {
    uint32_t voters = members & mask;
    uint32_t result = values[std::countr_zero(voters)];
    for (voters &= voters - 1; voters; voters &= voters - 1) {
      const uint32_t value = values[std::countr_zero(voters)];
      const bool less = instruction.is_signed ? static_cast<int32_t>(value) < static_cast<int32_t>(result) : value < result;
      switch (instruction.atomic) {
        case Atomic::add: result += value; break;
        case Atomic::min: result = less ? value : result; break;
        case Atomic::max: result = less ? result : value; break;
        case Atomic::bit_and: result &= value; break;
        case Atomic::bit_or: result |= value; break;
        default: result ^= value; break;
      }
    }
    for (; lanes; lanes &= lanes - 1) results[std::countr_zero(lanes)] = result;
  });
  uint32_t* destination = warp.registers.lanes<uint32_t>(instruction.destination[0]);
  for (; mask; mask &= mask - 1) destination[std::countr_zero(mask)] = results[std::countr_zero(mask)];
}

void Block::sync_warp(Warp& warp, const Instruction& instruction, uint32_t mask) {
  if (!shadowed()) return;
  for_each_membership(warp.registers.lanes<uint32_t>(instruction.source[0]), mask,
                      [&](uint32_t members, uint32_t) { shadow_.meet_lanes(warp.index, members & mask, warp.live()); });
}

}  // namespace sightline::emulator
