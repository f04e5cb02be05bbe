#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/elements.h"

namespace sightline {

/**
 * A short array of indices or settings that the host made and an op reads: what it holds decides how the work is cut up, so
 * the host keeps it at hand, and `device` is where kernels find the same values. Both are the same address on the CPU.
 */
template <class T>
struct Mirrored {
  const T* host = nullptr;
  const T* device = nullptr;

  Mirrored() = default;
  SIGHTLINE_ALWAYS_INLINE Mirrored(const T* both) : host(both), device(both) {}  // NOLINT: what the host holds is all that a CPU op needs
  Mirrored(const T* host, const T* device) : host(host), device(device) {}

  /** What CPU ops read. */
  SIGHTLINE_ALWAYS_INLINE operator const T*() const { return host; }  // NOLINT
};

/** Owns what a Mirrored points to. Made by `Device::mirror` or an InputBlock; never changes; copies share the memory. */
template <class T>
class MirroredArray {
 public:
  MirroredArray() : MirroredArray({}, nullptr) {}
  /** @param device  the copy on the device, or null where that computes in the host's memory */
  MirroredArray(std::vector<T> values, std::shared_ptr<const T> device)
      : values_(std::make_shared<const std::vector<T>>(std::move(values))), device_(std::move(device)) {}

  const std::vector<T>& values() const { return *values_; }
  int64_t size() const { return static_cast<int64_t>(values_->size()); }
  bool empty() const { return values_->empty(); }
  T operator[](int64_t i) const { return (*values_)[static_cast<size_t>(i)]; }

  operator Mirrored<T>() const {  // NOLINT: ops take one of these as what they name in their arguments
    const T* host = values_->data();
    return {host, device_ ? device_.get() : host};
  }

 private:
  std::shared_ptr<const std::vector<T>> values_;
  std::shared_ptr<const T> device_;
};

using Indices = MirroredArray<int32_t>;

}  // namespace sightline
