#include "ops/sample.h"

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "cuda/philox.cuh"
#include "cuda/reduce.cuh"
#include "ops/softmax_row.cuh"

// One block of up to 1024 threads per row, in one kernel: softmax, limits of top_k and top_p, draw. Nothing is sorted or written in
// between: the tokens that are kept are known by the lowest logit among them, which is found by bisection (passes over the row, 128 KB
// at V = 32 000, from L1 and L2; a token's weight is computed anew only where its logit is high enough). Registers on sm_80:
// 64. Shared memory: 1.2 KB of partial sums.

namespace sightline::cuda {
namespace {

/** The order of floats as that of unsigned integers, and back. Both zeros are one number. */
__device__ uint32_t order_of(float x) {
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ float float_at(uint32_t order) { return __uint_as_float(order >> 31 ? order & 0x7fffffffu : ~order); }

/** The tokens above a logit, and of those at it the ones up to an id: the most likely ones, ties broken towards the lower id. */
struct Kept {
  float lowest;
  int last_tie;

  /** For logits that are not below the lowest. */
  __device__ bool contains_from(int v, float logit) const { return logit != lowest || v <= last_tie; }
  __device__ bool contains(int v, float logit) const { return logit >= lowest && contains_from(v, logit); }
};

/** The lowest id of the highest logit. */
template <int width>
__device__ int most_likely(const float* logits, int vocabulary) {
  unsigned long long best = 0;
  for_logits<width>(logits, vocabulary, [&](int v, float logit) {
    const unsigned long long candidate = static_cast<unsigned long long>(order_of(logit)) << 32 | (0xffffffffu - static_cast<uint32_t>(v));
    best = candidate > best ? candidate : best;
  });
  return static_cast<int>(0xffffffffu - static_cast<uint32_t>(block_max(best, 0ull)));
}

/**
 * The most likely tokens of `kept` that together hold `amount`; measure(logit) says what a token holds. Sums run in one fixed
 * order, in which more tokens never give less, rounded or not; so there is a highest logit from which on they hold enough. The
 * bisection ends as soon as there is one token between what is enough and what is too few, which without ties takes some 20 passes.
 */
template <int width, class Measure>
__device__ Kept keep_most_likely(const float* logits, int vocabulary, Kept kept, double amount, const Measure& measure) {
  struct Held {
    float tokens, amount;
  };
  const auto held_from = [&](float threshold) -> Held {
    float sums[2] = {};
    for_logits<width>(logits, vocabulary, [&](int v, float logit) {
      if (logit >= threshold && kept.contains_from(v, logit)) {
        sums[0] += 1.0f;  // exact
        sums[1] += measure(logit);
      }
    });
    block_sum(sums);
    return {sums[0], sums[1]};
  };
  uint32_t enough = order_of(kept.lowest), too_few = order_of(__builtin_inff());
  float tokens_enough = static_cast<float>(vocabulary);
  Held held_too_few{0.0f, 0.0f};
  while (too_few - enough > 1 && tokens_enough - held_too_few.tokens > 1.0f) {
    const uint32_t middle = enough + (too_few - enough) / 2;
    if (const Held held = held_from(float_at(middle)); held.amount >= amount) {
      enough = middle;
      tokens_enough = held.tokens;
    } else {
      too_few = middle;
      held_too_few = held;
    }
  }
  const float lowest = float_at(enough);
  const int last = lowest == kept.lowest ? kept.last_tie : vocabulary - 1;
  if (too_few - enough > 1) return {lowest, last};
  // Of the tokens at the lowest logit, as many as are missing.
  const auto ties_until = [&](int id) {
    int ties = 0;
    for_logits<width>(logits, vocabulary, [&](int v, float logit) { ties += logit == lowest && v <= id; });
    return block_sum(ties);
  };
  const double missing = ceil((amount - held_too_few.amount) / measure(lowest));
  if (!(missing < ties_until(last))) return {lowest, last};
  int too_low = -1, high_enough = last;
  while (high_enough - too_low > 1) {
    const int middle = too_low + (high_enough - too_low) / 2;
    if (ties_until(middle) >= missing)
      high_enough = middle;
    else
      too_low = middle;
  }
  return {lowest, high_enough};
}

/** Inclusive prefix sums over the warp. */
__device__ double warp_prefix_sum(double x) {
#pragma unroll
  for (unsigned distance = 1; distance < warp_lanes; distance *= 2) {
    const double before = __shfl_up_sync(all_lanes, x, distance);
    if (threadIdx.x % warp_lanes >= distance) x += before;
  }
  return x;
}

/**
 * The token in whose stretch of the cumulative weight uniform * total lies, 0 <= uniform < 1; weight(v) >= 0. Each warp sums a run
 * of tokens, 32 at a time; the warp in whose run the point lies then goes through it again. The same for all threads.
 */
template <class Weight>
__device__ int draw(int vocabulary, double uniform, const Weight& weight) {
  __shared__ double held[most_warps];
  __shared__ int drawn;
  constexpr int lanes = warp_lanes;
  const int lane = static_cast<int>(threadIdx.x) % lanes, warp = static_cast<int>(threadIdx.x) / lanes;
  const int warps = static_cast<int>(blockDim.x) / lanes;
  const int groups = (vocabulary + lanes - 1) / lanes, run = (groups + warps - 1) / warps * lanes;
  const int first = warp * run, last = min(first + run, vocabulary);
  double sum = 0.0;
  for (int group = first; group < last; group += lanes)
    sum += __shfl_sync(all_lanes, warp_prefix_sum(group + lane < last ? weight(group + lane) : 0.0), lanes - 1);
  if (lane == 0) held[warp] = sum;
  if (threadIdx.x == 0) drawn = 0;  // stays only if the weights are not numbers
  __syncthreads();

  double total = 0.0;
  for (int w = 0; w < warps; ++w) total += held[w];
  const double point = uniform * total;
  double before = 0.0;
  int chosen = 0;
  while (chosen < warps && !(before + held[chosen] > point)) before += held[chosen++];
  if (warp == chosen) {
    // Rounding may keep the last sum from passing the point: then it is the last token that weighs anything.
    int token = first;
    double within = 0.0;
    bool found = false;
    for (int group = first; group < last && !found; group += lanes) {
      const double own = group + lane < last ? weight(group + lane) : 0.0;
      const double sums = warp_prefix_sum(own);
      const unsigned heavy = __ballot_sync(all_lanes, own > 0.0);
      const unsigned beyond = __ballot_sync(all_lanes, own > 0.0 && before + (within + sums) > point);
      found = beyond != 0;
      if (found)
        token = group + __ffs(static_cast<int>(beyond)) - 1;
      else if (heavy != 0)
        token = group + (lanes - 1 - __clz(static_cast<int>(heavy)));
      within += __shfl_sync(all_lanes, sums, lanes - 1);
    }
    if (lane == 0) drawn = token;
  }
  __syncthreads();
  return drawn;
}

}  // namespace

template <int width>
__global__ void __launch_bounds__(1024) sample_row_kernel(SampleArgs a, int vocabulary) {
  const int64_t row = blockIdx.x;
  const float* logits = a.logits + row * vocabulary;
  const float temperature = a.temperatures.device[row];
  const bool greedy = temperature == 0.0f;
  const SoftmaxRow softmax = softmax_row<width, false>(logits, vocabulary, greedy ? 1.0f : 1.0f / temperature);
  int token;
  if (greedy) {
    token = most_likely<width>(logits, vocabulary);
  } else {
    const auto weight = [&](float logit) { return expf(softmax.shifted(logit)); };
    Kept kept{-__builtin_inff(), vocabulary - 1};
    if (const int top_k = a.top_k.device[row]; top_k > 0 && top_k < vocabulary)
      kept = keep_most_likely<width>(logits, vocabulary, kept, static_cast<double>(top_k), [](float) { return 1.0f; });
    if (const double top_p = a.top_p.device[row]; top_p < 1.0) {
      float all = 0.0f;
      for_logits<width>(logits, vocabulary, [&](int v, float logit) {
        if (kept.contains(v, logit)) all += weight(logit);
      });
      kept = keep_most_likely<width>(logits, vocabulary, kept, top_p * block_sum(all), weight);
    }
    const uint32_t* key = a.keys.device + 2 * row;
    const uint4 bits = philox(make_uint4(static_cast<uint32_t>(a.steps.device[row]), 0, 0, 0), make_uint2(key[0], key[1]));
    token = draw(vocabulary, uniform_from_bits(bits.x, bits.y), [&](int v) -> double {
      return kept.contains(v, logits[v]) ? weight(logits[v]) : 0.0f;
    });
  }
  if (threadIdx.x != 0) return;
  a.tokens[row] = token;
  a.log_probs[row] = softmax.log_prob(logits[token]);
}

void sample(CudaContext& context, const SampleArgs& a) {
  with_width(
      [&](auto width) {
        context.launch(sample_row_kernel<width()>, dim3(static_cast<unsigned>(a.rows)), dim3(softmax_threads(a.vocabulary)), 0, a,
                       static_cast<int>(a.vocabulary));
      },
      a.vocabulary, a.logits);
}

}  // namespace sightline::cuda
