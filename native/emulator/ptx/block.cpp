#include "emulator/ptx/block.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "emulator/ptx/row_table.h"

namespace sightline::emulator {
namespace {

/** Bits of a lane mask, for messages. */
int count(uint32_t mask) { return std::popcount(mask); }

}  // namespace

LaunchContext::LaunchContext(const Kernel& kernel, const Launch& launch, GlobalMemory& memory, const Checks& checks)
    : kernel(kernel), launch(launch), checks(checks), memory(memory), functions(RowTable::instance().functions(select_isa(""))) {
  parameters.resize(kernel.parameter_bytes);
  for (size_t k = 0; k < kernel.parameters.size(); ++k)
    std::memcpy(&parameters[kernel.parameters[k].offset], launch.arguments[k], kernel.parameters[k].bytes);
  registers.assign(size_t{32} * kernel.register_slots, ~0u);
  predicates.assign(kernel.predicates, 0);
  for (const ConstantRegister& constant : kernel.constants) {
    if (constant.width == Width::predicate) {
      predicates[constant.slot] = constant.value ? ~0u : 0;
      continue;
    }
    const Registers file{registers.data(), predicates.data()};
    for (int lane = 0; lane < 32; ++lane) {
      if (constant.width == Width::word) file.lanes<uint32_t>(constant.slot)[lane] = static_cast<uint32_t>(constant.value);
      else file.lanes<uint64_t>(constant.slot)[lane] = constant.value;
    }
  }
}

uint32_t LaunchContext::shared_bytes() const {
  return launch.dynamic_shared_bytes == 0 ? kernel.static_shared_bytes
                                          : kernel.dynamic_shared_offset + launch.dynamic_shared_bytes;
}

Block::Block(const LaunchContext& context) : context_(context), kernel_(context.kernel), findings_(context.kernel) {
  const uint32_t warps = (context.threads() + 31) / 32;
  warps_.resize(warps);
  // Register files begin on cache lines.
  slots_.resize(warps * context.registers.size() + 16);
  predicates_.resize(warps * context.predicates.size());
  const size_t misaligned = reinterpret_cast<uintptr_t>(slots_.data()) % 64 / sizeof(uint32_t);
  uint32_t* slots = slots_.data() + (misaligned ? 16 - misaligned : 0);
  for (uint32_t index = 0; index < warps; ++index) {
    warps_[index].index = index;
    warps_[index].registers = {slots + index * context.registers.size(), predicates_.data() + index * context.predicates.size()};
  }
  shared_.resize(context.shared_bytes());
  allocations_.assign(kernel_.code.size(), nullptr);
}

void Block::begin(uint64_t index) {
  const Dim3 grid = context_.launch.grid;
  block_ = index;
  position_ = {static_cast<uint32_t>(index % grid.x), static_cast<uint32_t>(index / grid.x % grid.y),
               static_cast<uint32_t>(index / (uint64_t{grid.x} * grid.y))};
  findings_.begin_block(position_.x, position_.y, position_.z);
  random_.seed(context_.checks.seed, index);
  instructions_left_ = context_.checks.instructions_per_block;
  abandoned_ = false;
  // NaN in every floating-point format: what is read without having been written shows in the results.
  std::fill(shared_.begin(), shared_.end(), uint8_t{0xff});
  if (shadowed())
    shadow_.reset(static_cast<uint32_t>(shared_.size()), kernel_.shared_granularity, static_cast<uint32_t>(warps_.size()));
  for (Barrier& barrier : barriers_) barrier = {};
  const uint32_t threads = context_.threads();
  for (Warp& warp : warps_) {
    const uint32_t rest = threads - 32 * warp.index;
    warp.lanes = rest >= 32 ? ~0u : (1u << rest) - 1;
    warp.exited = 0;
    warp.groups.assign(1, {0, warp.lanes, false});
    warp.copies.clear();
    std::fill(std::begin(warp.committed), std::end(warp.committed), 0);
    warp.barrier = Warp::no_barrier;
    std::memcpy(warp.registers.slots, context_.registers.data(), context_.registers.size() * sizeof(uint32_t));
    std::copy(context_.predicates.begin(), context_.predicates.end(), warp.registers.predicates);
  }
  fill_special_registers();
}

void Block::fill_special_registers() {
  for (Warp& warp : warps_)
    for (const auto& [slot, special] : kernel_.specials)
      for (uint32_t lane = 0; lane < 32; ++lane)
        warp.registers.lanes<uint32_t>(slot)[lane] = special_value(special, 32 * warp.index + lane);
}

uint32_t Block::special_value(SpecialRegister special, uint32_t thread) const {
  const Dim3 block = context_.launch.block, grid = context_.launch.grid;
  const uint32_t lane = thread % 32;
  switch (special) {
    case SpecialRegister::tid_x: return thread % block.x;
    case SpecialRegister::tid_y: return thread / block.x % block.y;
    case SpecialRegister::tid_z: return thread / (block.x * block.y);
    case SpecialRegister::ntid_x: return block.x;
    case SpecialRegister::ntid_y: return block.y;
    case SpecialRegister::ntid_z: return block.z;
    case SpecialRegister::ctaid_x: return position_.x;
    case SpecialRegister::ctaid_y: return position_.y;
    case SpecialRegister::ctaid_z: return position_.z;
    case SpecialRegister::nctaid_x: return grid.x;
    case SpecialRegister::nctaid_y: return grid.y;
    case SpecialRegister::nctaid_z: return grid.z;
    case SpecialRegister::laneid: return lane;
    case SpecialRegister::warpid: return thread / 32;
    case SpecialRegister::nwarpid: return static_cast<uint32_t>(warps_.size());
    case SpecialRegister::lanemask_eq: return 1u << lane;
    case SpecialRegister::lanemask_lt: return (1u << lane) - 1;
    case SpecialRegister::lanemask_le: return (1u << lane) - 1 + (1u << lane);
    case SpecialRegister::lanemask_gt: return ~((1u << lane) - 1 + (1u << lane));
    case SpecialRegister::lanemask_ge: return ~((1u << lane) - 1);
    case SpecialRegister::total_smem_size: return static_cast<uint32_t>(shared_.size());
    case SpecialRegister::dynamic_smem_size: return context_.launch.dynamic_shared_bytes;
  }
  return 0;
}

void Block::run(uint64_t index) {
  begin(index);
  std::vector<uint32_t> runnable;
  while (!abandoned_ && !findings_.full()) {
    runnable.clear();
    for (const Warp& warp : warps_)
      if (warp.runnable()) runnable.push_back(warp.index);
    if (runnable.empty()) {
      const bool waiting = std::any_of(warps_.begin(), warps_.end(), [](const Warp& warp) { return !warp.done(); });
      if (waiting) report_deadlock();
      return;
    }
    if (context_.checks.random_interleaving) {
      run_warp(warps_[runnable[random_.next() % runnable.size()]], 1 + random_.next() % 400);
    } else {
      for (const uint32_t warp : runnable)
        if (!abandoned_ && warps_[warp].runnable()) run_warp(warps_[warp], ~uint64_t{0});
    }
  }
}

void Block::reach_barrier(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const int first = std::countr_zero(mask);
  const uint32_t number = warp.registers.lanes<uint32_t>(instruction.source[0])[first];
  const uint32_t expected = instruction.flag ? warp.registers.lanes<uint32_t>(instruction.source[1])[first] : 0;
  const auto refuse = [&](std::string message) {
    findings_.report(FindingKind::barrier, instruction, warp.index, -1, std::move(message));
    abandoned_ = true;
  };
  if (mask != warp.lanes)
    return refuse(
        concat("a barrier reached by ", count(mask), " of ", count(warp.lanes), " threads of a warp: the others have ended"));
  if (number >= barriers_per_block)
    return refuse(concat("there is no barrier ", number, ", the last is ", barriers_per_block - 1));
  if (instruction.flag && (expected == 0 || expected % 32 != 0 || expected > 32 * warps_.size()))
    return refuse(concat("barrier ", number, " for ", expected, " threads: expected a multiple of 32 up to the ",
                         32 * warps_.size(), " of the block"));
  Barrier& barrier = barriers_[number];
  const bool first_arrival = barrier.waiting.empty() && barrier.arrived.empty();
  if (!first_arrival && barrier.expected != expected)
    return refuse(concat("barrier ", number, " for ", expected, " threads, while other warps are at it for ", barrier.expected,
                         " (0: all)"));
  barrier.expected = expected;
  ++traffic_.barriers;
  if (instruction.action == Action::barrier_arrive) {
    barrier.arrived.emplace_back(warp.index, shadowed() ? shadow_.arrive() : 0);
  } else {
    barrier.waiting.push_back(warp.index);
    warp.barrier = static_cast<int>(number);
  }
  complete_barrier(number);
}

void Block::complete_barrier(uint32_t number) {
  Barrier& barrier = barriers_[number];
  if (barrier.waiting.empty() && barrier.arrived.empty()) return;
  const size_t reached = barrier.waiting.size() + barrier.arrived.size();
  const auto live =
      static_cast<size_t>(std::count_if(warps_.begin(), warps_.end(), [](const Warp& warp) { return !warp.done(); }));
  if (reached < (barrier.expected ? barrier.expected / 32 : live)) return;
  for (const uint32_t warp : barrier.waiting) warps_[warp].barrier = Warp::no_barrier;
  if (shadowed()) {
    // What threads did that have ended is ordered before a barrier of the whole block as well.
    std::vector<uint32_t> met = barrier.waiting;
    if (!barrier.expected)
      for (const Warp& warp : warps_)
        if (warp.done()) met.push_back(warp.index);
    shadow_.meet(met, barrier.arrived);
  }
  barrier = {};
}

void Block::warp_ended() {
  for (uint32_t number = 0; number < barriers_per_block; ++number)
    if (!barriers_[number].expected) complete_barrier(number);
}

void Block::report_deadlock() {
  for (const Warp& warp : warps_) {
    if (warp.done()) continue;
    const Barrier& barrier = barriers_[static_cast<size_t>(warp.barrier)];
    const Instruction& instruction = kernel_.code[warp.groups.front().pc - 1];
    const size_t reached = 32 * (barrier.waiting.size() + barrier.arrived.size());
    findings_.report(FindingKind::barrier, instruction, warp.index, -1,
                     concat("barrier ", warp.barrier, " never completes: ", reached, " threads are at it and ",
                            barrier.expected ? concat(barrier.expected, " are expected")
                                             : std::string("the others that have not ended wait elsewhere")));
  }
}

}  // namespace sightline::emulator
