#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/arena.h"

namespace sightline {

/** What tells apart the steps of a loop: steps of equal sizes enqueue the same ops on the same addresses. */
struct StepSize {
  int64_t rows, pages;
  auto operator<=>(const StepSize&) const = default;
};

/**
 * Runs the steps of a loop, such as the decoding of one token for every request in flight. A device that can records what a
 * step enqueues and repeats that the next time, instead of having the host ask for every op anew. This one runs every step.
 *
 * So that a recording stays right, a step reads what changes from one time to the next (ids, lengths, addresses of pages, how to
 * sample) from device memory that is filled before it, at addresses that stay; decides nothing by what that holds; reads weights
 * where they are stored, or copies of them that are brought up to date in place before it; and writes its results to
 * addresses that stay. What it allocates is void once it has been enqueued, and the same memory the next time.
 */
class StepRecorder {
 public:
  StepRecorder() = default;
  virtual ~StepRecorder() = default;
  StepRecorder(const StepRecorder&) = delete;
  StepRecorder& operator=(const StepRecorder&) = delete;

  /**
   * The size to give a step that needs `size`, at least 1: the next power of two where steps are recorded, so that there are few
   * recordings; else no more than needed.
   */
  virtual int64_t padded(int64_t size) const { return size; }

  /** Enqueues what `step` does. @param size the step's own, each part of which `padded` gave */
  virtual void run([[maybe_unused]] const StepSize& size, const std::function<void()>& step) { step(); }
};

/**
 * Runs every step with the sizes and in the memory of one that could be recorded. Steps of all sizes share the memory, since they come
 * one after the other: that of the largest serves the smaller ones, and a larger one than all before begins anew. So what is held
 * is what the largest takes, whatever came before it.
 */
class PooledStepRecorder : public StepRecorder {
 public:
  explicit PooledStepRecorder(Arena& arena) : arena_(arena) {}

  int64_t padded(int64_t size) const override;
  void run(const StepSize& size, const std::function<void()>& step) override;

 protected:
  /** Before a step: makes room where it is larger than all before. */
  void make_room(const StepSize& size);
  /** The memory of all steps, after `make_room`. */
  ArenaPool& pool() { return *pool_; }
  /** Drops what was recorded in the memory that is about to go. */
  virtual void forget() {}

 private:
  Arena& arena_;
  std::shared_ptr<ArenaPool> pool_;
  /** Of each part the largest so far. */
  StepSize largest_{0, 0};
};

}  // namespace sightline
