#include "core/rope_table.h"

#include <bit>
#include <cmath>

namespace sightline {

const float* RopeTable::rows(int64_t positions, int64_t head_size, float theta) {
  if (positions > positions_ || head_size != head_size_ || theta != theta_) {
    head_size_ = head_size;
    theta_ = theta;
    // Powers of two, so that sequences that grow token by token recompute the table seldom.
    positions_ = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(positions)));
    values_.reset();
    const size_t bytes = static_cast<size_t>(positions_ * head_size) * sizeof(float);
    values_ = arena_.allocate(bytes, Purpose::workspace);
    float* values = static_cast<float*>(values_->data());
    const int64_t half = head_size / 2;
    for (int64_t k = 0; k < half; ++k) {
      const double exponent = -2.0 * static_cast<double>(k) / static_cast<double>(head_size);
      const double frequency = std::pow(static_cast<double>(theta), exponent);
      for (int64_t position = 0; position < positions_; ++position) {
        const double angle = static_cast<double>(position) * frequency;
        values[position * head_size + k] = static_cast<float>(std::cos(angle));
        values[position * head_size + half + k] = static_cast<float>(std::sin(angle));
      }
    }
  }
  return static_cast<const float*>(values_->data());
}

}  // namespace sightline
