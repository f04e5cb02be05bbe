#pragma once

#include <cstdint>
#include <vector>

#include "emulator/ptx/lanes/rows.h"

namespace sightline::emulator {

/** Lanes of a warp that are at the same instruction. */
struct LaneGroup {
  uint32_t pc = 0, mask = 0;
  /** Waits for other lanes of the warp at a warp-wide instruction. */
  bool blocked = false;
};

/** One cp.async of a warp, until all its lanes have waited for it. */
struct AsyncCopy {
  /** Lanes that have not waited yet, and those whose bytes have been written already. */
  uint32_t pending = 0, landed = 0;
  uint32_t bytes = 0;
  uint32_t destination[32];
  uint64_t source[32];
  /** Bytes read of the source; the rest is filled with zeros. */
  uint8_t source_bytes[32];
  /** Number of the lane's commit group that it belongs to. */
  uint32_t group[32];
};

/** State of 32 threads of a block. */
struct Warp {
  static constexpr int no_barrier = -1;

  uint32_t index = 0;
  /** Lanes that are threads of the block, and those of them that have ended. */
  uint32_t lanes = 0, exited = 0;
  std::vector<LaneGroup> groups;
  Registers registers;
  std::vector<AsyncCopy> copies;
  /** Commit groups that each lane has closed. */
  uint32_t committed[32] = {};
  /** The block barrier that the warp waits at. */
  int barrier = no_barrier;

  uint32_t live() const { return lanes & ~exited; }
  bool done() const { return groups.empty(); }
  bool runnable() const { return !done() && barrier == no_barrier; }
};

}  // namespace sightline::emulator
