#include "emulator/runtime/device_memory.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace sightline::emulator {

void FreeMemory::operator()(void* pointer) const { std::free(pointer); }

MemoryBlock allocate_poisoned(size_t bytes) {
  constexpr size_t alignment = 256;
  if (bytes > SIZE_MAX - 2 * alignment) throw std::bad_alloc();
  // A gap behind each block: the next one never begins where it ends.
  const size_t rounded = (bytes + 2 * alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  std::memset(memory, poison, rounded);
  return MemoryBlock(memory);
}

void* DeviceMemory::allocate(size_t bytes) {
  if (bytes > budget_ - current_) return nullptr;
  MemoryBlock memory = allocate_poisoned(bytes);
  void* pointer = memory.get();
  global_.add(pointer, bytes);
  blocks_.emplace(pointer, Block{std::move(memory), bytes});
  current_ += bytes;
  if (current_ > peak_) peak_ = current_;
  return pointer;
}

std::optional<size_t> DeviceMemory::size_of(const void* pointer) const {
  const auto found = blocks_.find(pointer);
  if (found == blocks_.end()) return std::nullopt;
  return found->second.bytes;
}

void DeviceMemory::release(void* pointer) {
  const auto found = blocks_.find(pointer);
  Block block = std::move(found->second);
  blocks_.erase(found);
  global_.remove(pointer);
  current_ -= block.bytes;
  freed_bytes_ += block.bytes;
  freed_.push_back(std::move(block));
  while (freed_bytes_ > kept_aside_bytes) {
    freed_bytes_ -= freed_.front().bytes;
    freed_.pop_front();
  }
}

bool DeviceMemory::holds(const void* pointer) const {
  auto next = blocks_.upper_bound(pointer);
  if (next == blocks_.begin()) return false;
  --next;
  return static_cast<const char*>(pointer) < static_cast<const char*>(next->first) + next->second.bytes;
}

void* PinnedMemory::allocate(size_t bytes) {
  MemoryBlock memory = allocate_poisoned(bytes);
  void* pointer = memory.get();
  const std::lock_guard lock(mutex_);
  blocks_.emplace(pointer, Block{std::move(memory), bytes});
  return pointer;
}

std::optional<size_t> PinnedMemory::size_of(const void* pointer) const {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(pointer);
  if (found == blocks_.end()) return std::nullopt;
  return found->second.bytes;
}

void PinnedMemory::release(void* pointer) {
  const std::lock_guard lock(mutex_);
  blocks_.erase(pointer);
}

bool PinnedMemory::contains(const void* pointer, size_t bytes) const {
  const std::lock_guard lock(mutex_);
  auto next = blocks_.upper_bound(pointer);
  if (next == blocks_.begin()) return false;
  --next;
  const auto offset = static_cast<size_t>(static_cast<const char*>(pointer) - static_cast<const char*>(next->first));
  return offset <= next->second.bytes && bytes <= next->second.bytes - offset;
}

size_t PinnedMemory::allocations() const {
  const std::lock_guard lock(mutex_);
  return blocks_.size();
}

}  // namespace sightline::emulator
