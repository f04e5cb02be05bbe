#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "ops/device.h"

namespace sightline {

/**
 * Small arrays of one step of a loop that ops read, side by side in one block of the device's memory: one copy takes them all
 * there, and arrays of the same sizes, put in the same order, are at the same addresses every time.
 */
class InputBlock {
 public:
  /** @param capacity_bytes  of all arrays of a step, each rounded up to `alignment` */
  InputBlock(Device& device, size_t capacity_bytes) : device_(device) {
    if (device.in_host_memory()) return;
    block_ = device.arena().allocate(capacity_bytes, Purpose::workspace);
    staged_.resize(capacity_bytes);
  }

  /** For kernels that read vectors. */
  static constexpr size_t alignment = 16;
  template <class T>
  static constexpr size_t bytes_of(int64_t count) {
    return (static_cast<size_t>(count) * sizeof(T) + alignment - 1) / alignment * alignment;
  }

  /** Begins the next step: the arrays of the last one lose their places. */
  void clear() { used_ = 0; }
  /** The next array; ops may read it after `upload`. It must fit. */
  template <class T>
  MirroredArray<T> put(std::vector<T> values) {
    if (!block_) return {std::move(values), nullptr};
    const size_t first = used_;
    used_ += bytes_of<T>(static_cast<int64_t>(values.size()));
    if (used_ > staged_.size()) fail(ErrorCode::internal, "InputBlock: expected at most ", staged_.size(), " bytes, received ", used_);
    std::memcpy(staged_.data() + first, values.data(), values.size() * sizeof(T));
    const auto* at = reinterpret_cast<const T*>(static_cast<const std::byte*>(block_->data()) + first);
    return {std::move(values), std::shared_ptr<const T>(block_, at)};
  }
  /** Brings all arrays to the device. */
  void upload() {
    if (used_ > 0) device_.upload(block_->data(), staged_.data(), used_);
  }

 private:
  Device& device_;
  /** Null where ops read the host's memory. */
  std::shared_ptr<Storage> block_;
  std::vector<std::byte> staged_;
  size_t used_ = 0;
};

}  // namespace sightline
