#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace sightline {

/** The most threads that anybody may ask for. */
inline constexpr int max_threads = 1024;

/**
 * Runs numbered tasks on a fixed set of threads, the caller among them. A task is claimed by whichever thread is free,
 * so results stay independent of the thread count exactly when each task computes its own output in its own order.
 * A thread that the system lets sleep, or gives to somebody else, holds up nothing but the task that it has claimed.
 */
class ThreadPool {
 public:
  /** @param threads >= 1, the caller included */
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  using Task = void (*)(void* state, int64_t task, int thread);
  /**
   * Calls `function(state, task, thread)` for every task in [0, tasks) and waits. Rethrows the first exception, after which
   * no further tasks were begun.
   * @param tasks  below 2^32
   */
  void run(int64_t tasks, Task function, void* state);

  /** `body(int64_t task, int thread)` for every task in [0, tasks). */
  template <class Body>
  void parallel_for(int64_t tasks, const Body& body) {
    run(
        tasks, [](void* state, int64_t task, int thread) { (*static_cast<const Body*>(state))(task, thread); },
        const_cast<Body*>(&body));
  }

 private:
  void worker(int thread);
  void work(int thread);

  std::vector<std::thread> workers_;
  /** Counts the calls of `run`. */
  std::atomic<uint32_t> generation_{0};
  /** The generation in the upper half, the number of tasks that nobody has claimed in the lower: nobody claims from a run that is over. */
  std::atomic<uint64_t> unclaimed_{0};
  /** Tasks that have not ended. While there are any, the three members below stay as they are. */
  std::atomic<uint32_t> unfinished_{0};
  int64_t tasks_ = 0;
  Task function_ = nullptr;
  void* state_ = nullptr;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

}  // namespace sightline
