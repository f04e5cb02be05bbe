#include "addon/promise_queue.h"

namespace sightline {

std::shared_ptr<PromiseQueue> PromiseQueue::open(Napi::Env env) {
  std::shared_ptr<PromiseQueue> queue(new PromiseQueue);
  // Runs when the function is gone, after `close` or because the environment ends; nobody may touch it from
  // then on.
  const auto finalize = [](Napi::Env, std::shared_ptr<PromiseQueue>* last, PromiseQueue*) {
    {
      std::lock_guard lock((*last)->mutex_);
      (*last)->closed_ = true;
    }
    (*last)->pending_.clear();
    delete last;
  };
  queue->function_ = ThreadSafeFunction::New(env, "sightline", 0, 1, queue.get(), finalize,
                                             new std::shared_ptr<PromiseQueue>(queue));
  queue->function_.Unref(env);
  return queue;
}

PromiseQueue::Ticket PromiseQueue::add(Napi::Env env, Napi::Object owner, Cancellation cancelled) {
  const uint64_t id = next_id_++;
  const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
  if (pending_.empty()) function_.Ref(env);
  pending_.emplace(id, Pending{deferred, Napi::Persistent(owner), std::move(cancelled)});
  return {id, deferred.Promise()};
}

void PromiseQueue::cancel(uint64_t id) {
  const auto entry = pending_.find(id);
  if (entry != pending_.end() && entry->second.cancelled) entry->second.cancelled->store(true);
}

void PromiseQueue::reject_all(Napi::Env env, const Failure& failure) {
  if (pending_.empty()) return;
  for (const auto& [id, pending] : pending_) pending.deferred.Reject(to_js_error(env, failure).Value());
  pending_.clear();
  function_.Unref(env);
}

void PromiseQueue::close() {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    function_.Release();
  }
  pending_.clear();
}

void PromiseQueue::resolve(uint64_t id, MakeValue make_value) {
  post(std::unique_ptr<Settlement>(new Settlement{id, std::move(make_value)}));
}

void PromiseQueue::reject(uint64_t id, Failure failure) {
  resolve(id,
          [failure = std::move(failure)](Napi::Env env) -> Napi::Value { throw to_js_error(env, failure); });
}

void PromiseQueue::post(std::unique_ptr<Settlement> settlement) {
  std::lock_guard lock(mutex_);
  if (closed_) return;
  const napi_status status = function_.NonBlockingCall(settlement.get());
  if (status == napi_ok)
    settlement.release();  // `settle` owns it now
  else
    closed_ = true;  // the environment is ending and has taken the function back
}

void PromiseQueue::settle(Napi::Env env, Napi::Function, PromiseQueue* queue, Settlement* given) {
  const std::unique_ptr<Settlement> settlement(given);
  // Without an environment the function is being emptied; without an entry the promise is settled already.
  if (static_cast<napi_env>(env) == nullptr) return;
  const auto entry = queue->pending_.find(settlement->id);
  if (entry == queue->pending_.end()) return;
  const Pending pending = std::move(entry->second);
  queue->pending_.erase(entry);
  if (queue->pending_.empty()) queue->function_.Unref(env);
  try {
    Napi::Value value;
    try {
      value = settlement->make_value(env);
    } catch (const Napi::Error& error) {
      pending.deferred.Reject(error.Value());
      return;
    }
    pending.deferred.Resolve(value);
  } catch (const Napi::Error&) {
    // The environment is ending: JavaScript cannot be told anything any more.
  }
}

}  // namespace sightline
