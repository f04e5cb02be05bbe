#pragma once

#include <cstdint>

#include "emulator/ptx/interpreter.h"

namespace sightline::emulator {

/** Adds the 32-byte sectors of a warp's request to global memory: `bytes` per lane at `address`, in the lanes of `mask`. */
void count_sectors(const uint64_t (&address)[32], uint32_t mask, uint32_t bytes, Traffic& traffic);

/**
 * Adds the wavefronts of a warp's request to shared memory: 32 banks of 4 bytes, of each of which one word is served per pass.
 * Lanes that access 8 bytes go by halves of the warp, 16 bytes by quarters.
 */
void count_wavefronts(const uint64_t (&offset)[32], uint32_t mask, uint32_t bytes, Traffic& traffic);

}  // namespace sightline::emulator
