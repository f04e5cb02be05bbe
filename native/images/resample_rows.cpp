#include "images/resample_rows.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

/** Sums that stay in the first-level cache while the rows of a window pass by. */
constexpr size_t block_bytes = 2048;

uint8_t to_byte(int32_t sum) {
  const int32_t value = sum >> resample_weight_bits;
  const int32_t not_negative = value < 0 ? 0 : value;
  return static_cast<uint8_t>(not_negative > 255 ? 255 : not_negative);
}

/** One output row's bytes [0, length) from the same bytes of its window's rows. */
void resample_block(const uint8_t* __restrict source, size_t row_bytes, const ResampleWindow& window, size_t length,
                    int32_t* __restrict sums, uint8_t* __restrict result) {
  for (size_t i = 0; i < length; ++i) sums[i] = 1 << (resample_weight_bits - 1);
  for (int row = 0; row < window.count; ++row) {
    const uint8_t* bytes = source + static_cast<size_t>(window.first + row) * row_bytes;
    const int32_t weight = window.weights[row];
    for (size_t i = 0; i < length; ++i) sums[i] += weight * bytes[i];
  }
  for (size_t i = 0; i < length; ++i) result[i] = to_byte(sums[i]);
}

}  // namespace

void resample_rows(const uint8_t* source, size_t row_bytes, const ResampleWindow* windows, int count, uint8_t* result) {
  int32_t sums[block_bytes];
  for (int i = 0; i < count; ++i) {
    for (size_t begin = 0; begin < row_bytes; begin += block_bytes) {
      const size_t left = row_bytes - begin;
      resample_block(source + begin, row_bytes, windows[i], left < block_bytes ? left : block_bytes, sums,
                     result + static_cast<size_t>(i) * row_bytes + begin);
    }
  }
}

}  // namespace sightline::SIGHTLINE_ISA
