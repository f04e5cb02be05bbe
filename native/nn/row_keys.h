#pragma once

#include <cstdint>

#include "core/mirrored.h"
#include "core/philox.h"
#include "ops/device.h"

namespace sightline {

/** By what the masks of dropout are drawn for the rows of a matrix; see ops/dropout.h. Empty where nothing is dropped. */
struct RowKeys {
  /** (N, 2) */
  MirroredArray<uint32_t> keys;
  /** (N) */
  Indices positions;

  bool empty() const { return positions.empty(); }
  /** Those of the chosen rows, in this order. */
  RowKeys at(Device& device, const Indices& rows) const;
};

/** Gathers the keys of rows one after the other. */
class RowKeyList {
 public:
  void add(RandomKey key, int64_t position) {
    keys_.insert(keys_.end(), key.begin(), key.end());
    positions_.push_back(static_cast<int32_t>(position));
  }
  /** What was added, for ops to read; the list is empty then. */
  RowKeys take(Device& device) { return {device.mirror(std::move(keys_)), device.mirror(std::move(positions_))}; }

 private:
  std::vector<uint32_t> keys_;
  std::vector<int32_t> positions_;
};

}  // namespace sightline
