#pragma once

#include <cstdint>

namespace sightline {

/** What one instruction-set path can do at most, as loops that do nothing else; `measure_peaks` times them. */
struct PeakKernels {
  /** Runs independent chains of multiply-adds. @return something that depends on all of them, so that none is dropped */
  float (*fp32)(int64_t rounds);
  int64_t fp32_flops_per_round;
  /** As fp32, with products of bf16 pairs that are summed in fp32; null on paths without the instruction. */
  float (*bf16)(int64_t rounds);
  int64_t bf16_flops_per_round;
  /** Reads count floats once, in order. @return their sum in no particular order */
  float (*read)(const float* from, int64_t count);
};

// One per path, as the ops; see op_table.h.
namespace portable {
extern const PeakKernels peak_kernels;
}
namespace avx2 {
extern const PeakKernels peak_kernels;
}
namespace avx512 {
extern const PeakKernels peak_kernels;
}
namespace avx512_bf16 {
extern const PeakKernels peak_kernels;
}

}  // namespace sightline
