#pragma once

#include <cstddef>

namespace sightline {

/** Where an arena's memory comes from. Thread-safe. */
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  /** @return memory aligned to 64 bytes at least, or null if there is no more */
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* data, size_t bytes) = 0;
};

/** The process's own memory; large blocks on huge pages where the system has them. */
MemorySource& host_memory();

}  // namespace sightline
