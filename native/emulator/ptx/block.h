#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "emulator/ptx/finding_log.h"
#include "emulator/ptx/interpreter.h"
#include "emulator/ptx/shared_shadow.h"
#include "emulator/ptx/warp.h"

namespace sightline::emulator {

/** What all blocks of a launch share. */
struct LaunchContext {
  const Kernel& kernel;
  const Launch& launch;
  const Checks& checks;
  GlobalMemory& memory;
  const RowFunction* functions;
  /** The parameter space. */
  std::vector<uint8_t> parameters;
  /** A warp's register file before it starts: constants in place, everything else all ones. */
  std::vector<uint32_t> registers, predicates;

  LaunchContext(const Kernel& kernel, const Launch& launch, GlobalMemory& memory, const Checks& checks);
  uint32_t threads() const { return launch.block.x * launch.block.y * launch.block.z; }
  uint32_t shared_bytes() const;
};

/** A small generator of random numbers (SplitMix64), so that a block's interleaving is a function of seed and block. */
class BlockRandom {
 public:
  void seed(uint64_t seed, uint64_t block) { state_ = (seed + 1) * 0x9e3779b97f4a7c15u ^ (block + 1) * 0xd1342543de82ef95u; }
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }

 private:
  uint64_t state_ = 0;
};

/** Runs the blocks that one host thread gets, one after the other. */
class Block {
 public:
  explicit Block(const LaunchContext& context);

  /** Runs block number `index` of the grid to its end, or until its findings fill the log or leave nothing to go on with. */
  void run(uint64_t index);

  const Traffic& traffic() const { return traffic_; }
  /** The findings of the last run. */
  FindingLog& findings() { return findings_; }

 private:
  struct Barrier {
    std::vector<uint32_t> waiting;
    /** Warps of bar.arrive and the shadow's times of their arrival. */
    std::vector<std::pair<uint32_t, uint32_t>> arrived;
    /** Threads that it waits for; 0: all of the block that have not ended. */
    uint32_t expected = 0;
  };
  static constexpr uint32_t barriers_per_block = 16;

  // block.cpp: set-up, scheduling, block barriers
  void begin(uint64_t index);
  void fill_special_registers();
  uint32_t special_value(SpecialRegister special, uint32_t thread) const;
  void report_deadlock();
  void reach_barrier(Warp& warp, const Instruction& instruction, uint32_t mask);
  void complete_barrier(uint32_t number);
  void warp_ended();

  // execute_warp.cpp: control flow and warp-wide instructions
  void run_warp(Warp& warp, uint64_t instructions);
  LaneGroup* select_group(Warp& warp);
  void execute(Warp& warp, const Instruction& instruction, uint32_t mask);
  void exit_lanes(Warp& warp, LaneGroup& group, const Instruction& instruction, uint32_t mask);
  /** Whether all lanes that the instruction needs are in `mask`. */
  bool converged(const Warp& warp, const Instruction& instruction, uint32_t mask);
  void report_divergence(const Warp& warp, const LaneGroup& group);
  void shuffle(Warp& warp, const Instruction& instruction, uint32_t mask);
  void vote(Warp& warp, const Instruction& instruction, uint32_t mask);
  void reduce(Warp& warp, const Instruction& instruction, uint32_t mask);
  void sync_warp(Warp& warp, const Instruction& instruction, uint32_t mask);

  // execute_memory.cpp
  using Addresses = uint64_t[32];
  void addresses_of(const Warp& warp, const Address& address, Addresses& addresses) const;
  void access(Warp& warp, const Instruction& instruction, uint32_t mask);
  void access_global(Warp& warp, const Instruction& instruction, uint32_t mask, const Addresses& addresses);
  void access_shared(Warp& warp, const Instruction& instruction, uint32_t mask, const Addresses& offsets);
  void load_parameter(Warp& warp, const Instruction& instruction, uint32_t mask);
  void load_matrix(Warp& warp, const Instruction& instruction);
  void move_lanes(const Warp& warp, const Instruction& instruction, uint32_t mask, uint8_t* const (&pointers)[32]) const;

  // execute_atomic.cpp
  void atomic(Warp& warp, const Instruction& instruction, uint32_t mask);

  // execute_copy.cpp
  void copy_async(Warp& warp, const Instruction& instruction, uint32_t mask);
  void wait_copies(Warp& warp, const Instruction& instruction, uint32_t mask);
  void land(const AsyncCopy& copy, int lane);

  // memory_checks.cpp
  /** Lanes of `mask` whose access to global memory is in bounds and aligned; also checks or marks initialisation. */
  uint32_t check_global(const Warp& warp, const Instruction& instruction, uint32_t mask, const Addresses& addresses,
                        uint32_t bytes, bool reads, bool writes);
  uint32_t check_bounds(const Warp& warp, const Instruction& instruction, uint32_t mask, const Addresses& addresses,
                        uint32_t bytes, bool writes);
  /** Lanes of `mask` whose offsets lie in shared memory and are aligned. */
  uint32_t check_shared(const Warp& warp, const Instruction& instruction, uint32_t mask, const Addresses& offsets,
                        uint32_t bytes);
  void report_breach(SharedShadow::Breach breach, const char* access, const Warp& warp, const Instruction& instruction, int lane,
                     uint64_t offset);
  bool shadowed() const { return context_.checks.races || context_.checks.initialisation; }

  const LaunchContext& context_;
  const Kernel& kernel_;
  uint64_t block_ = 0;
  Dim3 position_;
  std::vector<Warp> warps_;
  std::vector<uint32_t> slots_, predicates_;
  std::vector<uint8_t> shared_;
  SharedShadow shadow_;
  Barrier barriers_[barriers_per_block];
  /** For each instruction the allocation that it used last. */
  std::vector<GlobalMemory::Allocation*> allocations_;
  BlockRandom random_;
  Traffic traffic_;
  FindingLog findings_;
  uint64_t instructions_left_ = 0;
  bool abandoned_ = false;
};

}  // namespace sightline::emulator
