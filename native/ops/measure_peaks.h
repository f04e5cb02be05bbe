#pragma once

#include <optional>

#include "core/isa.h"

namespace sightline {

/** The roof over what this machine can do: no op runs faster than its arithmetic, nor than its operands arrive. */
struct Peaks {
  /** 10^9 floating-point operations per second in fp32, a multiply-add counted as two. */
  double fp32_gflops_per_second;
  /** The same for products of bf16 numbers summed in fp32; empty where the path has no such instruction. */
  std::optional<double> bf16_gflops_per_second;
  /** 10^9 bytes per second read from main memory. Operands that are still in a cache arrive faster. */
  double read_gigabytes_per_second;
};

/**
 * Measures the peaks of `isa` on `threads` threads at once: each the best of many short windows within a quarter of a
 * second, so that other work on the machine counts as little as can be. Takes about a second; the memory to read is 32 MiB
 * per thread and at least 256 MiB, more than the caches hold, and is freed again. More threads than cores give more than
 * the cores can do.
 *
 * @param threads  >= 1
 * @throws std::bad_alloc
 */
Peaks measure_peaks(Isa isa, int threads);

}  // namespace sightline
