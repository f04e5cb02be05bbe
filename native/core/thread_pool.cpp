#include "core/thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sightline {
namespace {

// About 100 us: longer than the gap between two ops, much shorter than a pause a person would notice in a profile.
constexpr int spins_before_sleep = 4000;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int thread = 1; thread < threads; ++thread) workers_.emplace_back([this, thread] { worker(thread); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t tasks, Task function, void* state) {
  if (tasks <= 0) return;
  if (tasks == 1 || workers_.empty()) {
    for (int64_t task = 0; task < tasks; ++task) function(state, task, 0);
    return;
  }
  tasks_ = tasks;
  function_ = function;
  state_ = state;
  unfinished_.store(static_cast<uint32_t>(tasks), std::memory_order_relaxed);
  const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  unclaimed_.store(uint64_t{generation} << 32 | static_cast<uint64_t>(tasks), std::memory_order_release);
  generation_.store(generation, std::memory_order_release);
  generation_.notify_all();
  work(0);
  for (int spin = 0;; ++spin) {
    const uint32_t unfinished = unfinished_.load(std::memory_order_acquire);
    if (unfinished == 0) break;
    if (spin < spins_before_sleep)
      pause();
    else
      unfinished_.wait(unfinished, std::memory_order_acquire);
  }
  if (failed_.exchange(false)) {
    std::exception_ptr failure = nullptr;
    std::swap(failure, failure_);
    std::rethrow_exception(failure);
  }
}

void ThreadPool::work(int thread) {
  uint64_t unclaimed = unclaimed_.load(std::memory_order_acquire);
  while (static_cast<uint32_t>(unclaimed) != 0) {
    if (!unclaimed_.compare_exchange_weak(unclaimed, unclaimed - 1, std::memory_order_acquire)) continue;
    try {
      if (!failed_.load(std::memory_order_relaxed)) function_(state_, tasks_ - static_cast<uint32_t>(unclaimed), thread);
    } catch (...) {
      std::lock_guard lock(failure_mutex_);
      if (!failed_.exchange(true)) failure_ = std::current_exception();
    }
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_all();
    unclaimed = unclaimed_.load(std::memory_order_acquire);
  }
}

void ThreadPool::worker(int thread) {
  uint32_t seen = 0;
  while (true) {
    uint32_t generation;
    for (int spin = 0; (generation = generation_.load(std::memory_order_acquire)) == seen; ++spin) {
      if (spin < spins_before_sleep)
        pause();
      else
        generation_.wait(seen, std::memory_order_acquire);
    }
    seen = generation;
    if (stopping_.load()) return;
    work(thread);
  }
}

}  // namespace sightline
