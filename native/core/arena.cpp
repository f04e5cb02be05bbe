#include "core/arena.h"

#include <algorithm>
#include <bit>

#include "core/error.h"

namespace sightline {
namespace {

constexpr size_t alignment = 64;

/** Rounds up so that blocks of nearly equal size are interchangeable: to 64 bytes, then to an eighth of a power of two. */
size_t size_class(size_t bytes) {
  const size_t aligned = (bytes + alignment - 1) / alignment * alignment;
  if (aligned <= 8 * alignment) return aligned == 0 ? alignment : aligned;
  const size_t step = std::bit_floor(aligned) / 8;
  return (aligned + step - 1) / step * step;
}

}  // namespace

const char* purpose_name(Purpose purpose) {
  switch (purpose) {
    case Purpose::weights: return "weights";
    case Purpose::adapter: return "adapter";
    case Purpose::gradients: return "gradients";
    case Purpose::optimizer: return "optimizer";
    case Purpose::activations: return "activations";
    case Purpose::kv_cache: return "kv_cache";
    case Purpose::workspace: return "workspace";
  }
  return "workspace";
}

Storage::~Storage() {
  std::lock_guard lock(arena_.mutex_);
  if (pool_)
    pool_->free_[{purpose_, bytes_}].push_back(data_);
  else
    arena_.release(data_, bytes_, purpose_);
}

Arena::~Arena() { trim(); }

std::shared_ptr<Storage> Arena::allocate(size_t bytes, Purpose purpose) {
  const size_t size = size_class(bytes);
  std::lock_guard lock(mutex_);
  void* data = nullptr;
  if (pool_) {
    auto& free = pool_->free_;
    // The smallest that is large enough, so that work on less makes do with what work on more has set aside.
    for (auto found = free.lower_bound({purpose, size}); found != free.end() && found->first.first == purpose; ++found) {
      auto& [block, blocks] = *found;
      if (blocks.empty()) continue;
      data = blocks.back();
      blocks.pop_back();
      return std::make_shared<Storage>(*this, data, block.second, purpose, pool_);
    }
  }
  if (auto kept = kept_.find(size); kept != kept_.end() && !kept->second.empty()) {
    data = kept->second.back();
    kept->second.pop_back();
  } else {
    if (limit_bytes_ != 0 && held_bytes_ + size > limit_bytes_) trim();
    if (limit_bytes_ != 0 && held_bytes_ + size > limit_bytes_)
      fail(ErrorCode::out_of_memory, "memoryLimitBytes: ", size, " more bytes for ", purpose_name(purpose), " on top of ",
           held_bytes_, " exceed the limit of ", limit_bytes_, "; raise the limit or use smaller batches");
    data = memory_.allocate(size);
    if (!data) {
      trim();
      data = memory_.allocate(size);
    }
    if (!data) fail(ErrorCode::out_of_memory, "there are no ", size, " bytes for ", purpose_name(purpose));
    held_bytes_ += size;
  }
  for (Use* use : {&use_.purposes[static_cast<size_t>(purpose)], &use_.total}) {
    use->current_bytes += size;
    use->peak_bytes = std::max(use->peak_bytes, use->current_bytes);
  }
  return std::make_shared<Storage>(*this, data, size, purpose, pool_);
}

void Arena::release(void* data, size_t bytes, Purpose purpose) {
  kept_[bytes].push_back(data);
  use_.purposes[static_cast<size_t>(purpose)].current_bytes -= bytes;
  use_.total.current_bytes -= bytes;
}

void Arena::trim() {
  for (auto& [size, blocks] : kept_) {
    for (void* block : blocks) memory_.release(block, size);
    held_bytes_ -= size * blocks.size();
    blocks.clear();
  }
}

void ArenaPool::clear() {
  std::lock_guard lock(arena_.mutex_);
  for (const auto& [block, free] : free_)
    for (void* data : free) arena_.release(data, block.second, block.first);
  free_.clear();
}

ArenaPool::Scope::Scope(ArenaPool& pool) : arena_(pool.arena_) {
  std::lock_guard lock(arena_.mutex_);
  arena_.pool_ = pool.shared_from_this();
}

ArenaPool::Scope::~Scope() {
  std::shared_ptr<ArenaPool> pool;  // outlives the lock, which its end would take
  std::lock_guard lock(arena_.mutex_);
  pool.swap(arena_.pool_);
}

Arena::Report Arena::use() const {
  std::lock_guard lock(mutex_);
  return use_;
}

}  // namespace sightline
