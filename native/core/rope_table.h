#pragma once

#include <cstdint>
#include <list>
#include <memory>

#include "core/arena.h"

namespace sightline {

/** Cosines and sines of rotary angles, computed once per position, head size and theta, and kept from call to call. */
class RopeTable {
 public:
  explicit RopeTable(Arena& arena) : arena_(arena) {}

  /**
   * @param positions  number of positions wanted, from 0
   * @return (positions, head_size): row p holds cos(phi_k), then sin(phi_k), for
   *         phi_k = p * theta^(-2k / head_size) and k in [0, head_size / 2). Computed in double, rounded to fp32.
   *         Valid until the next call of the same head size and theta.
   */
  const float* rows(int64_t positions, int64_t head_size, float theta);

 private:
  /** Of one head size and theta; a model has one or two. */
  struct Table {
    int64_t head_size;
    float theta;
    int64_t positions = 0;
    std::shared_ptr<Storage> values;
  };
  Table& find(int64_t head_size, float theta);

  Arena& arena_;
  std::list<Table> tables_;
};

}  // namespace sightline
