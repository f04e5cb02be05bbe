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

  /**
   * The size to run the next step with, of which each part is `padded`. Where steps are recorded, one that is larger than all before
   * in either part gets the largest of both, so that the memory of all steps is known at once.
   * @param needed  rows that are decoded, pages of the longest
   */
  virtual StepSize next(const StepSize& needed) { return needed; }

  /** Enqueues what `step` does. @param size  what `next` gave */
  virtual void run([[maybe_unused]] const StepSize& size, const std::function<void()>& step) { step(); }
};

/**
 * Runs every step with the sizes and in the memory of one that could be recorded. Steps of all sizes share the memory, since they come
 * one after the other. A step with more rows or more pages than all before begins anew, with the most of both; its memory then
 * serves the smaller ones, which enqueue the same ops on less. So what is held is what a step of the most rows and the most pages
 * takes, in whatever order they came, also where no step needed both: what a plan counts that plays the largest step alone.
 */
class PooledStepRecorder : public StepRecorder {
 public:
  explicit PooledStepRecorder(Arena& arena) : pool_(std::make_shared<ArenaPool>(arena)) {}

  int64_t padded(int64_t size) const override;
  StepSize next(const StepSize& needed) override;
  void run(const StepSize& size, const std::function<void()>& step) override;

 protected:
  /** The memory of all steps. */
  ArenaPool& pool() { return *pool_; }
  /** Drops what was recorded in memory that is about to go. */
  virtual void forget() {}

 private:
  std::shared_ptr<ArenaPool> pool_;
  /** The most rows and the most pages so far. */
  StepSize largest_{0, 0};
};

}  // namespace sightline
