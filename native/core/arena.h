#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/memory.h"

namespace sightline {

/** What memory is for; `plan` and the engine's report use the same names. */
enum class Purpose { weights, adapter, gradients, optimizer, activations, kv_cache, workspace };
inline constexpr int purpose_count = 7;
const char* purpose_name(Purpose purpose);

class Arena;
class ArenaPool;

/** A 64-byte aligned block that goes back to its arena, or the pool that it is of, when the last owner lets go. */
class Storage {
 public:
  Storage(Arena& arena, void* data, size_t bytes, Purpose purpose, std::shared_ptr<ArenaPool> pool)
      : arena_(arena), data_(data), bytes_(bytes), purpose_(purpose), pool_(std::move(pool)) {}
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Arena& arena_;
  void* data_;
  size_t bytes_;
  Purpose purpose_;
  std::shared_ptr<ArenaPool> pool_;
};

/**
 * All memory of one device, counted by purpose. Freed blocks are kept by size class and handed out again, so a steady
 * state allocates nothing from the system. Thread-safe.
 */
class Arena {
 public:
  /** @param limit_bytes most bytes to hold, kept blocks included; 0 = unlimited; @param memory must outlive the arena */
  explicit Arena(size_t limit_bytes, MemorySource& memory = host_memory()) : limit_bytes_(limit_bytes), memory_(memory) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /**
   * @return a block of at least `bytes`; its contents are undefined
   * @throws out_of_memory beyond the limit or when the system has no more
   */
  std::shared_ptr<Storage> allocate(size_t bytes, Purpose purpose);

  struct Use {
    size_t current_bytes = 0;
    size_t peak_bytes = 0;
  };
  struct Report {
    std::array<Use, purpose_count> purposes;
    /** Of all purposes together: their peaks need not come at the same time. */
    Use total;
  };
  Report use() const;

 private:
  friend class Storage;
  friend class ArenaPool;
  /** With the mutex held. */
  void release(void* data, size_t bytes, Purpose purpose);
  void trim();

  const size_t limit_bytes_;
  MemorySource& memory_;
  mutable std::mutex mutex_;
  size_t held_bytes_ = 0;
  std::map<size_t, std::vector<void*>> kept_;
  Report use_{};
  /** Whose scope is open. */
  std::shared_ptr<ArenaPool> pool_;
};

/**
 * Blocks that an arena sets aside for work that comes again and again. What is allocated inside a `Scope` is the pool's: it goes
 * back to the pool, which gives it to later allocations of its scopes that need as much or less, and to nobody else for as long as
 * the pool or any of its blocks has an owner. So work that was recorded with these addresses may run again. The arena counts a pool's blocks as in
 * use, each for the purpose it was first allocated for.
 */
class ArenaPool : public std::enable_shared_from_this<ArenaPool> {
 public:
  explicit ArenaPool(Arena& arena) : arena_(arena) {}
  ~ArenaPool() { clear(); }
  ArenaPool(const ArenaPool&) = delete;
  ArenaPool& operator=(const ArenaPool&) = delete;

  /** Gives back to the arena what is not allocated now. What was recorded with these addresses must not run again. */
  void clear();

  /** The arena allocates from the pool, for whichever thread, while this lives. Scopes do not nest. */
  class Scope {
   public:
    explicit Scope(ArenaPool& pool);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
  };

 private:
  friend class Arena;
  friend class Storage;

  Arena& arena_;
  /** Not allocated now; the arena's mutex guards it. */
  std::map<std::pair<Purpose, size_t>, std::vector<void*>> free_;
};

}  // namespace sightline
