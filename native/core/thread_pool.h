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
  /** Calls `function(state, task, thread)` for every task in [0, tasks) and waits. Rethrows the first exception. */
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
  std::atomic<uint32_t> generation_{0};
  std::atomic<uint32_t> running_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> next_{0};
  int64_t tasks_ = 0;
  Task function_ = nullptr;
  void* state_ = nullptr;
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

}  // namespace sightline
