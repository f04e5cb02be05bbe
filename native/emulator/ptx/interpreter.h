#pragma once

#include <cstdint>

#include "emulator/ptx/findings.h"
#include "emulator/ptx/global_memory.h"
#include "emulator/ptx/program.h"

namespace sightline::emulator {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
};

/** What cudaLaunchKernel is told. */
struct Launch {
  Dim3 grid, block;
  uint32_t dynamic_shared_bytes = 0;
  /** One pointer per kernel parameter, to its value. */
  const void* const* arguments = nullptr;
};

/** When the bytes of a cp.async arrive: as late as the wait for them, at once, or either at random. */
enum class CopyTime { late, early, random };

/**
 * What a launch is held to. Bounds, alignment, barriers, and member masks of warp-wide instructions are always checked.
 */
struct Checks {
  /** Of the random interleaving and the random copies. Results of a correct kernel do not depend on it. */
  uint64_t seed = 1;
  /** Switches between a block's warps after random numbers of instructions; otherwise each runs until it has to wait. */
  bool random_interleaving = false;
  CopyTime async_copies = CopyTime::late;
  /** Races on shared memory, which includes accesses to bytes that a cp.async still owns. */
  bool races = true;
  /** Reads of global or shared memory that nobody has written. */
  bool initialisation = true;
  /** Count sectors and wavefronts (see Traffic). */
  bool count_traffic = false;
  /** Warp instructions that a block may execute before it is called endless. */
  uint64_t instructions_per_block = uint64_t{1} << 27;
};

/**
 * Counters of a launch. "Ideal" is what the same requests cost at best: sectors that would hold the distinct bytes of a warp's
 * request, and one wavefront per 128 bytes of it (a warp's 8-byte accesses go by half warps, 16-byte ones by quarters).
 */
struct Traffic {
  uint64_t warp_instructions = 0;
  uint64_t mma = 0;
  /** Warp-wide loads, stores, atomics and asynchronous copies of global memory that any lane takes part in. */
  uint64_t global_requests = 0;
  /** 32-byte sectors touched, summed over requests; with count_traffic only. */
  uint64_t global_sectors = 0, global_ideal_sectors = 0;
  uint64_t global_bytes_read = 0, global_bytes_written = 0;
  /** Passes over the 32 banks of shared memory; with count_traffic only. */
  uint64_t shared_wavefronts = 0, shared_ideal_wavefronts = 0;
  /** Warp-wide cp.async. */
  uint64_t async_copies = 0;
  /** Warps that arrived at block barriers. */
  uint64_t barriers = 0;

  Traffic& operator+=(const Traffic& other);
};

/**
 * Runs a kernel on the host: blocks one after the other on each of `threads` host threads, the 32 lanes of a warp in step,
 * diverged lanes lowest program counter first. Results and findings do not depend on `threads` as long as blocks communicate
 * through commutative integer atomics only.
 *
 * Approximate instructions (`ex2.approx`, `rsqrt.approx`, ...) are computed by the C library in float32: within their documented
 * error, but not the bits of a GPU. mma.sync adds its products to the accumulator in order of k with float32 rounding.
 *
 * @param threads >= 1
 * @throws Violation if the kernel breaks a rule; blocks that follow the first failing one may not have run
 * @throws Error(invalid_argument) for a launch that a GPU refuses: no or too many threads, too much shared memory, empty grid
 */
Traffic execute(const Kernel& kernel, const Launch& launch, GlobalMemory& memory, const Checks& checks, int threads = 1);

}  // namespace sightline::emulator
