#pragma once

#include <cstdint>
#include <memory>

#include "core/arena.h"

namespace sightline {

/** Cosines and sines of rotary angles, computed once per position and kept from call to call. */
class RopeTable {
 public:
  explicit RopeTable(Arena& arena) : arena_(arena) {}

  /**
   * @param positions  number of positions wanted, from 0
   * @return (positions, head_size): row p holds cos(phi_k), then sin(phi_k), for
   *         phi_k = p * theta^(-2k / head_size) and k in [0, head_size / 2). Computed in double, rounded to fp32.
   *         Valid until the next call.
   */
  const float* rows(int64_t positions, int64_t head_size, float theta);

 private:
  Arena& arena_;
  std::shared_ptr<Storage> values_;
  int64_t positions_ = 0;
  int64_t head_size_ = 0;
  float theta_ = 0;
};

}  // namespace sightline
