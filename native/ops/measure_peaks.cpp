#include "ops/measure_peaks.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <vector>

#include "core/thread_pool.h"
#include "ops/peak_kernels.h"

namespace sightline {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto measuring_time = std::chrono::milliseconds(250);
// Windows of some 0.2 ms: long against handing out tasks, short against the time slice that another process takes.
constexpr int64_t rounds_per_window = int64_t{1} << 16;
constexpr int64_t window_mebibytes = 4;
constexpr int64_t floats_per_mebibyte = 1 << 18;
// What is read in all is more than the caches hold.
constexpr int64_t min_read_mebibytes = 256, min_read_mebibytes_per_thread = 32;

const PeakKernels& peak_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx2) return avx2::peak_kernels;
  if (isa == Isa::avx512) return avx512::peak_kernels;
  if (isa == Isa::avx512_bf16) return avx512_bf16::peak_kernels;
#endif
  return portable::peak_kernels;
}

double nanoseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

/** The highest rate() of as many as fit the measuring time. */
template <class Rate>
double best_rate(const Rate& rate) {
  double best = 0.0;
  const Clock::time_point end = Clock::now() + measuring_time;
  do best = std::max(best, rate());
  while (Clock::now() < end);
  return best;
}

/**
 * FLOPs per nanosecond: the sum of what each thread does in its own time, since threads do not slow each other down. So it
 * takes no window in which other work on the machine leaves all of them alone at once.
 */
double arithmetic_rate(ThreadPool& pool, float (*kernel)(int64_t), int64_t flops_per_round) {
  std::vector<double> rates(static_cast<size_t>(pool.size()));
  return best_rate([&] {
    pool.parallel_for(pool.size(), [&](int64_t index, int) {
      const Clock::time_point start = Clock::now();
      kernel(rounds_per_window);
      rates[static_cast<size_t>(index)] = static_cast<double>(flops_per_round * rounds_per_window) / nanoseconds_since(start);
    });
    return std::accumulate(rates.begin(), rates.end(), 0.0);
  });
}

/**
 * Bytes per nanosecond of all threads together, for they share the way to memory; or of one, where other work on the machine
 * never lets all of them read at once.
 */
double read_rate(ThreadPool& pool, const PeakKernels& kernels) {
  const int64_t windows = std::max<int64_t>(min_read_mebibytes / pool.size(), min_read_mebibytes_per_thread) / window_mebibytes;
  const int64_t count = window_mebibytes * floats_per_mebibyte, share = windows * count;
  const std::unique_ptr<float[]> memory(new float[static_cast<size_t>(share * pool.size())]);
  // Written first: pages that never were are all one page of zeros.
  pool.parallel_for(pool.size(), [&](int64_t index, int) { std::fill_n(memory.get() + index * share, share, 1.0f); });
  // One window after the other, so that each is out of all caches by the time its turn comes again.
  int64_t window = 0;
  const auto rate = [&](int64_t readers) {
    const float* from = memory.get() + window * count;
    window = (window + 1) % windows;
    const Clock::time_point start = Clock::now();
    pool.parallel_for(readers, [&](int64_t index, int) { kernels.read(from + index * share, count); });
    return static_cast<double>(count * readers) * sizeof(float) / nanoseconds_since(start);
  };
  return std::max(best_rate([&] { return rate(pool.size()); }), best_rate([&] { return rate(1); }));
}

}  // namespace

Peaks measure_peaks(Isa isa, int threads) {
  const PeakKernels& kernels = peak_kernels(isa);
  ThreadPool pool(threads);
  Peaks peaks{.fp32_gflops_per_second = arithmetic_rate(pool, kernels.fp32, kernels.fp32_flops_per_round),
              .bf16_gflops_per_second = std::nullopt,
              .read_gigabytes_per_second = read_rate(pool, kernels)};
  if (kernels.bf16) peaks.bf16_gflops_per_second = arithmetic_rate(pool, kernels.bf16, kernels.bf16_flops_per_round);
  return peaks;
}

}  // namespace sightline
