#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>

namespace sightline::emulator {

/**
 * The device memory that kernels may touch: host allocations registered by address, each with one shadow byte per byte that says
 * whether anybody has written it. A device pointer is the host pointer. What is registered as two allocations is told apart: an
 * access that runs over the end of one is out of bounds even where the other follows at once.
 *
 * Launches on several host threads may read and mark concurrently; add() and remove() must not run during a launch.
 */
class GlobalMemory {
 public:
  /** A registered range [begin, end) and its shadow: `initialised[k]` is 1 once byte begin + k has been written. */
  struct Allocation {
    struct Free {
      void operator()(uint8_t* shadow) const { std::free(shadow); }
    };
    uintptr_t begin = 0, end = 0;
    std::unique_ptr<uint8_t[], Free> initialised;
  };

  /**
   * Registers `bytes` bytes at `pointer`, all uninitialised.
   * @throws invalid_argument for no pointer, no bytes, or an overlap with a registered range; out_of_memory without room for the
   * shadow
   */
  void add(const void* pointer, size_t bytes);

  /** Forgets the allocation that begins at `pointer`. @throws invalid_argument if none does */
  void remove(const void* pointer);

  /** Declares the range written, as copies from the host and fills do. @throws invalid_argument unless contains(pointer, bytes)
   */
  void mark_initialised(const void* pointer, size_t bytes);

  /** Whether the range lies within one allocation. An empty range does where its pointer is inside, or at the end, of one. */
  bool contains(const void* pointer, size_t bytes) const;

  /** Whether the range lies within one allocation and every byte of it has been written. */
  bool is_initialised(const void* pointer, size_t bytes) const;

  /** The allocation with begin <= address <= end, the one that begins there if two touch, or null. */
  Allocation* find(uintptr_t address) const;

 private:
  Allocation* containing(const void* pointer, size_t bytes) const;

  std::map<uintptr_t, std::unique_ptr<Allocation>> allocations_;
};

}  // namespace sightline::emulator
