#include "ops/peak_kernels.h"

#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

// Chains in flight: more than latency times throughput of a multiply-add on any CPU so far (5 cycles, 2 per cycle), and
// few enough that with two operands they fit the 16 registers of the narrower paths.
constexpr int chains = 12;

/** Different values, or the compiler would see that all chains are one. */
void start_chains(Vec* chain) {
  for (int i = 0; i < chains; ++i) chain[i] = broadcast(static_cast<float>(i));
}

float sum_chains(const Vec* chain) {
  Vec sum = zero();
  for (int i = 0; i < chains; ++i) sum = sum + chain[i];
  return sum_lanes(sum);
}

float run_fp32(int64_t rounds) {
  Vec chain[chains];
  start_chains(chain);
  const Vec scale = broadcast(0.5f), offset = broadcast(1.0f);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) chain[i] = fma(chain[i], scale, offset);
  }
  return sum_chains(chain);
}

#if defined(SIGHTLINE_AVX512_BF16)
float run_bf16(int64_t rounds) {
  Vec chain[chains];
  start_chains(chain);
  const Vec ones = interleaved_pairs(broadcast(1.0f), broadcast(1.0f));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) chain[i] = add_pair_products(ones, ones, chain[i]);
  }
  return sum_chains(chain);
}
#endif

float read_all(const float* from, int64_t count) {
  constexpr int64_t step = chains * lanes;
  Vec chain[chains] = {};
  int64_t i = 0;
  for (; i + step <= count; i += step) {
#pragma GCC unroll 12
    for (int c = 0; c < chains; ++c) chain[c] = chain[c] + load(from + i + c * lanes);
  }
  return sum_chains(chain) + sum_vectors(count - i, [&](int64_t rest, auto n) { return load(from + i + rest, n); });
}

constexpr int64_t flops_per_round = chains * lanes * 2;

}  // namespace

const PeakKernels peak_kernels{
    .fp32 = run_fp32,
    .fp32_flops_per_round = flops_per_round,
#if defined(SIGHTLINE_AVX512_BF16)
    .bf16 = run_bf16,
    .bf16_flops_per_round = 2 * flops_per_round,  // each lane takes a pair
#else
    .bf16 = nullptr,
    .bf16_flops_per_round = 0,
#endif
    .read = read_all,
};

}  // namespace sightline::SIGHTLINE_ISA
