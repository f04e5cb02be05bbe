#include "emulator/ptx/global_memory.h"

#include <cstring>

#include "core/error.h"

namespace sightline::emulator {

void GlobalMemory::add(const void* pointer, size_t bytes) {
  require(pointer && bytes > 0, "pointer, bytes: expected an allocation of at least one byte");
  const auto begin = reinterpret_cast<uintptr_t>(pointer);
  const auto next = allocations_.upper_bound(begin);
  const bool overlaps_next = next != allocations_.end() && next->second->begin < begin + bytes;
  const bool overlaps_previous = next != allocations_.begin() && std::prev(next)->second->end > begin;
  require(!overlaps_next && !overlaps_previous, "pointer: the range of ", bytes, " bytes at ", pointer,
          " overlaps a registered allocation");
  auto allocation = std::make_unique<Allocation>();
  allocation->begin = begin;
  allocation->end = begin + bytes;
  // calloc: pages of a large allocation that nobody touches cost nothing.
  allocation->initialised.reset(static_cast<uint8_t*>(std::calloc(bytes, 1)));
  if (!allocation->initialised) fail(ErrorCode::out_of_memory, "no memory for the shadow of ", bytes, " bytes");
  allocations_[begin] = std::move(allocation);
}

void GlobalMemory::remove(const void* pointer) {
  require(allocations_.erase(reinterpret_cast<uintptr_t>(pointer)) == 1, "pointer: no registered allocation begins at ", pointer);
}

GlobalMemory::Allocation* GlobalMemory::find(uintptr_t address) const {
  auto next = allocations_.upper_bound(address);
  if (next == allocations_.begin()) return nullptr;
  Allocation* allocation = std::prev(next)->second.get();
  return address <= allocation->end ? allocation : nullptr;
}

GlobalMemory::Allocation* GlobalMemory::containing(const void* pointer, size_t bytes) const {
  const auto begin = reinterpret_cast<uintptr_t>(pointer);
  Allocation* allocation = find(begin);
  return allocation && bytes <= allocation->end - begin ? allocation : nullptr;
}

void GlobalMemory::mark_initialised(const void* pointer, size_t bytes) {
  Allocation* allocation = containing(pointer, bytes);
  require(allocation, "pointer: the ", bytes, " bytes at ", pointer, " are not within one registered allocation");
  std::memset(allocation->initialised.get() + (reinterpret_cast<uintptr_t>(pointer) - allocation->begin), 1, bytes);
}

bool GlobalMemory::contains(const void* pointer, size_t bytes) const { return containing(pointer, bytes) != nullptr; }

bool GlobalMemory::is_initialised(const void* pointer, size_t bytes) const {
  const Allocation* allocation = containing(pointer, bytes);
  if (!allocation) return false;
  const uint8_t* shadow = allocation->initialised.get() + (reinterpret_cast<uintptr_t>(pointer) - allocation->begin);
  return std::memchr(shadow, 0, bytes) == nullptr;
}

}  // namespace sightline::emulator
