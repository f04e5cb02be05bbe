#pragma once

#include <cstddef>
#include <cstdint>

namespace sightline {

/** Fractional bits of the weights: a sum of weighted bytes needs 8 more, and 2 of headroom for what overshoots. */
inline constexpr int resample_weight_bits = 32 - 8 - 2;

/** The input rows that an output row is the weighted sum of. */
struct ResampleWindow {
  /** First input row. */
  int first;
  /** Number of rows, >= 1. */
  int count;
  /** (count), with `resample_weight_bits` fractional bits. */
  const int32_t* weights;
};

/**
 * result[i] = clip(floor(1/2 + sum_j weights_i[j] source[first_i + j])), byte by byte, for each window i.
 *
 * @param source  rows of `row_bytes` bytes
 * @param result  (count, row_bytes), does not overlap `source`
 */
#define SIGHTLINE_DECLARE_RESAMPLE_ROWS(isa)                                                                           \
  namespace isa {                                                                                                      \
  void resample_rows(const uint8_t* source, size_t row_bytes, const ResampleWindow* windows, int count, uint8_t* result); \
  }
SIGHTLINE_DECLARE_RESAMPLE_ROWS(portable)
SIGHTLINE_DECLARE_RESAMPLE_ROWS(avx2)
SIGHTLINE_DECLARE_RESAMPLE_ROWS(avx512)
#undef SIGHTLINE_DECLARE_RESAMPLE_ROWS

}  // namespace sightline
