#include "emulator/ptx/traffic_counter.h"

#include <algorithm>
#include <bit>

namespace sightline::emulator {

Traffic& Traffic::operator+=(const Traffic& other) {
  warp_instructions += other.warp_instructions;
  mma += other.mma;
  global_requests += other.global_requests;
  global_sectors += other.global_sectors;
  global_ideal_sectors += other.global_ideal_sectors;
  global_bytes_read += other.global_bytes_read;
  global_bytes_written += other.global_bytes_written;
  shared_wavefronts += other.shared_wavefronts;
  shared_ideal_wavefronts += other.shared_ideal_wavefronts;
  async_copies += other.async_copies;
  barriers += other.barriers;
  return *this;
}

void count_sectors(const uint64_t (&address)[32], uint32_t mask, uint32_t bytes, Traffic& traffic) {
  // Accesses are aligned and at most 16 bytes, so each lies in one sector. Which bytes of a sector are touched makes the ideal.
  uint64_t sectors[32];
  uint32_t touched[32];
  uint32_t count = 0, distinct_bytes = 0;
  const uint32_t pattern = (1u << bytes) - 1;
  for (; mask; mask &= mask - 1) {
    const uint64_t at = address[std::countr_zero(mask)], sector = at >> 5;
    uint32_t k = count;
    while (k > 0 && sectors[k - 1] != sector) --k;
    if (k == 0) {
      sectors[count] = sector;
      touched[count] = 0;
      k = ++count;
    }
    touched[k - 1] |= pattern << (at & 31);
  }
  for (uint32_t k = 0; k < count; ++k) distinct_bytes += static_cast<uint32_t>(std::popcount(touched[k]));
  traffic.global_sectors += count;
  traffic.global_ideal_sectors += (distinct_bytes + 31) / 32;
}

void count_wavefronts(const uint64_t (&offset)[32], uint32_t mask, uint32_t bytes, Traffic& traffic) {
  const uint32_t lanes = bytes >= 16 ? 8 : bytes >= 8 ? 16 : 32, words = std::max(1u, bytes / 4);
  for (uint32_t first = 0; first < 32; first += lanes) {
    uint32_t phase = mask & (lanes == 32 ? ~0u : ((1u << lanes) - 1) << first);
    if (!phase) continue;
    // The distinct words of each bank, as chains through the words seen so far.
    uint64_t seen[32];
    uint8_t next[32], head[32] = {}, depth[32] = {};
    uint8_t count = 0, deepest = 1;
    for (; phase; phase &= phase - 1) {
      const uint64_t word = offset[std::countr_zero(phase)] >> 2;
      for (uint64_t k = word; k < word + words; ++k) {
        const size_t bank = k & 31;
        uint8_t at = head[bank];
        while (at && seen[at - 1] != k) at = next[at - 1];
        if (at) continue;
        seen[count] = k;
        next[count] = head[bank];
        head[bank] = ++count;
        deepest = std::max(deepest, ++depth[bank]);
      }
    }
    traffic.shared_wavefronts += deepest;
    ++traffic.shared_ideal_wavefronts;
  }
}

}  // namespace sightline::emulator
