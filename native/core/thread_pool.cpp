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
  next_.store(0, std::memory_order_relaxed);
  running_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  work(0);
  for (int spin = 0;; ++spin) {
    const uint32_t running = running_.load(std::memory_order_acquire);
    if (running == 0) break;
    if (spin < spins_before_sleep)
      pause();
    else
      running_.wait(running, std::memory_order_acquire);
  }
  if (failure_) {
    std::exception_ptr failure = nullptr;
    std::swap(failure, failure_);
    std::rethrow_exception(failure);
  }
}

void ThreadPool::work(int thread) {
  try {
    for (int64_t task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) function_(state_, task, thread);
  } catch (...) {
    next_.store(tasks_, std::memory_order_relaxed);
    std::lock_guard lock(failure_mutex_);
    if (!failure_) failure_ = std::current_exception();
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
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_all();
  }
}

}  // namespace sightline
