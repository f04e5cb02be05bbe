#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "emulator/ptx/global_memory.h"

namespace sightline::emulator {

/** Fresh memory is filled with it: NaN as fp32, bf16 and fp64, -1 as an integer. */
constexpr int poison = 0xff;

struct FreeMemory {
  void operator()(void* pointer) const;
};
using MemoryBlock = std::unique_ptr<void, FreeMemory>;

/** `bytes` bytes, poisoned, aligned as the CUDA runtime aligns (256 bytes). @throws std::bad_alloc */
MemoryBlock allocate_poisoned(size_t bytes);

/**
 * The memory of one device: allocations within a budget, registered for the kernels' checkers. Freed memory is kept aside for a
 * while, so that its addresses are not given out again and a use after free meets no registered allocation.
 */
class DeviceMemory {
 public:
  explicit DeviceMemory(uint64_t budget_bytes) : budget_(budget_bytes) {}

  /** @returns null when `bytes` do not fit into the budget */
  void* allocate(size_t bytes);
  /** Size of the allocation that begins at `pointer`, if one does. */
  std::optional<size_t> size_of(const void* pointer) const;
  /** Forgets the allocation, which must be one. */
  void release(void* pointer);

  uint64_t budget() const { return budget_; }
  uint64_t current() const { return current_; }
  uint64_t peak() const { return peak_; }
  size_t allocations() const { return blocks_.size(); }

  /** What the kernels may touch. */
  GlobalMemory& global() { return global_; }

  /** Whether `pointer` points into an allocation. */
  bool holds(const void* pointer) const;

 private:
  struct Block {
    MemoryBlock memory;
    size_t bytes;
  };
  static constexpr size_t kept_aside_bytes = size_t{64} << 20;

  uint64_t budget_, current_ = 0, peak_ = 0;
  std::map<const void*, Block> blocks_;
  std::deque<Block> freed_;
  size_t freed_bytes_ = 0;
  GlobalMemory global_;
};

/** Pinned (page-locked) memory of the host: what asynchronous copies read and write late. Shared by all devices. */
class PinnedMemory {
 public:
  void* allocate(size_t bytes);
  std::optional<size_t> size_of(const void* pointer) const;
  void release(void* pointer);
  /** Whether the range lies within one allocation. */
  bool contains(const void* pointer, size_t bytes) const;
  size_t allocations() const;

 private:
  struct Block {
    MemoryBlock memory;
    size_t bytes;
  };
  mutable std::mutex mutex_;
  std::map<const void*, Block> blocks_;
};

}  // namespace sightline::emulator
