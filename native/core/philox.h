#pragma once

#include <array>
#include <cstdint>

namespace sightline {

/** Of a stream of random numbers. */
using RandomKey = std::array<uint32_t, 2>;

/**
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a bijection of the counter under
 * the key, so any number of a stream can be had without those before it. The TypeScript side has the same function.
 */
inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, RandomKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/** Uniform in [0, 1) with 53 bits from two words. */
inline double uniform_from_bits(uint32_t high, uint32_t low) {
  return static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
}

}  // namespace sightline
