#pragma once

#include <napi.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "addon/failure.h"

namespace sightline {

/**
 * Promises that are made on a JavaScript thread and settled from other threads. While some are pending, they
 * keep the process alive and their owner from being collected; when none is, the process may exit.
 *
 * The JavaScript environment can end at any moment (a worker is terminated), and with it everything of
 * Node-API. So the queue closes then, by whichever notice comes first, and what other threads still settle is
 * dropped.
 */
class PromiseQueue {
 public:
  using Cancellation = std::shared_ptr<std::atomic<bool>>;
  /** Makes the value to resolve with, on the JavaScript thread. */
  using MakeValue = std::function<Napi::Value(Napi::Env)>;

  /** A promise with the number that settles it. */
  struct Ticket {
    uint64_t id;
    Napi::Promise promise;
  };

  static std::shared_ptr<PromiseQueue> open(Napi::Env env);
  PromiseQueue(const PromiseQueue&) = delete;
  PromiseQueue& operator=(const PromiseQueue&) = delete;

  // On the JavaScript thread:

  /** @param owner  is kept from being collected until the promise is settled */
  Ticket add(Napi::Env env, Napi::Object owner, Cancellation cancelled);
  /** Asks for an end of the call behind a promise; nothing happens if the promise is settled. */
  void cancel(uint64_t id);
  bool idle() const { return pending_.empty(); }
  void reject_all(Napi::Env env, const Failure& failure);
  /** Promises that are pending stay so for ever. Callable twice. */
  void close();

  // On any thread; without effect once the promise is settled or the queue is closed:

  void resolve(uint64_t id, MakeValue make_value);
  void reject(uint64_t id, Failure failure);

 private:
  struct Pending {
    Napi::Promise::Deferred deferred;
    Napi::ObjectReference owner;
    Cancellation cancelled;
  };
  struct Settlement {
    uint64_t id;
    /** Throws Napi::Error to reject. */
    MakeValue make_value;
  };

  PromiseQueue() = default;
  void post(std::unique_ptr<Settlement> settlement);
  static void settle(Napi::Env env, Napi::Function, PromiseQueue* queue, Settlement* settlement);
  using ThreadSafeFunction = Napi::TypedThreadSafeFunction<PromiseQueue, Settlement, &PromiseQueue::settle>;

  std::unordered_map<uint64_t, Pending> pending_;
  uint64_t next_id_ = 1;

  std::mutex mutex_;
  bool closed_ = false;
  ThreadSafeFunction function_;
};

}  // namespace sightline
