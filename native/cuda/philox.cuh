#pragma once

#include <cstdint>

namespace sightline::cuda {

/** `sightline::philox` of core/philox.h, word for word. */
__device__ inline uint4 philox(uint4 counter, uint2 key) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    constexpr uint32_t multiplier0 = 0xD2511F53, multiplier1 = 0xCD9E8D57;
    counter = make_uint4(__umulhi(multiplier1, counter.z) ^ counter.y ^ key.x, multiplier1 * counter.z,
                         __umulhi(multiplier0, counter.x) ^ counter.w ^ key.y, multiplier0 * counter.x);
    key.x += 0x9E3779B9;
    key.y += 0xBB67AE85;
  }
  return counter;
}

/** Uniform in [0, 1) with 53 bits from two words. */
__device__ inline double uniform_from_bits(uint32_t high, uint32_t low) {
  return static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
}

}  // namespace sightline::cuda
