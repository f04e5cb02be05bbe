#include "ops/measure_peaks.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "core/thread_pool.h"
#include "ops/peak_kernels.h"

namespace sightline {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto measuring_time = std::chrono::milliseconds(250);
// About 0.2 ms: long against handing out tasks, short against the time slice that another process takes.
constexpr int64_t rounds_per_window = int64_t{1} << 16;
constexpr int64_t floats_per_mebibyte = 1 << 18;

const PeakKernels& peak_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx2) return avx2::peak_kernels;
  if (isa == Isa::avx512) return avx512::peak_kernels;
#endif
  return portable::peak_kernels;
}

/** The most of `work_per_task` per nanosecond that task(index), run on all threads at once, gets done. */
template <class Task>
double best_rate(ThreadPool& pool, double work_per_task, const Task& task) {
  double best = 0.0;
  const Clock::time_point end = Clock::now() + measuring_time;
  Clock::time_point stop;
  do {
    const Clock::time_point start = Clock::now();
    pool.parallel_for(pool.size(), [&](int64_t index, int) { task(index); });
    stop = Clock::now();
    const double nanoseconds = std::chrono::duration<double, std::nano>(stop - start).count();
    best = std::max(best, work_per_task * pool.size() / nanoseconds);
  } while (stop < end);
  return best;
}

double read_rate(ThreadPool& pool, const PeakKernels& kernels) {
  const int64_t total = std::max(int64_t{256}, int64_t{32} * pool.size()) * floats_per_mebibyte;
  const int64_t share = total / pool.size();
  const std::unique_ptr<float[]> memory(new float[static_cast<size_t>(total)]);
  // Written first: pages that never were are all one page of zeros.
  pool.parallel_for(pool.size(), [&](int64_t index, int) { std::fill_n(memory.get() + index * share, share, 1.0f); });
  return best_rate(pool, static_cast<double>(share) * sizeof(float),
                   [&](int64_t index) { kernels.read(memory.get() + index * share, share); });
}

}  // namespace

Peaks measure_peaks(Isa isa, int threads) {
  const PeakKernels& kernels = peak_kernels(isa);
  ThreadPool pool(threads);
  const auto flops_rate = [&](float (*kernel)(int64_t), int64_t flops_per_round) {
    return best_rate(pool, static_cast<double>(flops_per_round * rounds_per_window),
                     [&](int64_t) { kernel(rounds_per_window); });
  };
  Peaks peaks{.fp32_gflops_per_second = flops_rate(kernels.fp32, kernels.fp32_flops_per_round),
              .bf16_gflops_per_second = std::nullopt,
              .read_gigabytes_per_second = read_rate(pool, kernels)};
  if (kernels.bf16 && has_bf16_dot_products())
    peaks.bf16_gflops_per_second = flops_rate(kernels.bf16, kernels.bf16_flops_per_round);
  return peaks;
}

}  // namespace sightline
