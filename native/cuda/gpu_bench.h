#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "ops/device.h"

namespace sightline::cuda {

/** What the driver tells about a GPU beside its name and its memory. */
struct GpuFacts {
  int multiprocessors;
  int64_t l2_bytes;
  /** The highest that the GPU may run at, in kHz; 0 where the driver does not tell. */
  int clock_khz, memory_clock_khz;
};

/** What a GPU reaches in kernels that do one thing only. */
struct Ceilings {
  double read_bytes_per_second;
  /** Bytes read and bytes written, both. */
  double copy_bytes_per_second;
  /** A multiply-add is two. */
  double fp32_flops_per_second;
};

/** What benchmarks need of a GPU beside its ops. */
class GpuBench {
 public:
  virtual ~GpuBench() = default;

  virtual GpuFacts facts() const = 0;

  /**
   * Seconds that the GPU takes for what `enqueue` puts on the device's stream, by events before and after it. A buffer of twice the
   * size of L2 is written and read first, so that L2 holds no operand and has nothing to write back; meanwhile the host enqueues, so
   * that its calls take none of the time, unless there are dozens of them. The resolution of events is about half a microsecond.
   * @throws Error when something of it failed
   */
  virtual double time(const std::function<void()>& enqueue) = 0;

  /**
   * Measures the ceilings, each the best of several launches.
   * @param bytes    of each of two buffers: several times L2, at least 16 KiB
   * @param rounds   of the arithmetic: 8 multiply-adds each, in as many threads as fit the GPU
   * @param repeats  launches of each kernel, at least 1
   */
  virtual Ceilings ceilings(size_t bytes, int rounds, int repeats) = 0;

  /** The op `matmul` by cuBLASLt whatever its shape: what our own kernels for products are compared with. */
  virtual void multiply(const MatmulArgs& args) = 0;
};

}  // namespace sightline::cuda
