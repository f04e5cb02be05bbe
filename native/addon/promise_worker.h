#pragma once

#include <napi.h>

#include <optional>
#include <utility>

#include "addon/failure.h"

namespace sightline {

/** What `compute_promise` leaves to Node; deletes itself. */
template <class Compute, class ToValue>
class PromiseWorker : public Napi::AsyncWorker {
 public:
  PromiseWorker(Napi::Env env, const char* name, Compute compute, ToValue to_value)
      : Napi::AsyncWorker(env, name),
        compute_(std::move(compute)),
        to_value_(std::move(to_value)),
        deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      result_.emplace(compute_());
    } catch (...) {
      failure_ = current_failure();
    }
  }

  void OnOK() override {
    try {
      if (failure_)
        deferred_.Reject(to_js_error(Env(), *failure_).Value());
      else
        deferred_.Resolve(to_value_(Env(), std::move(*result_)));
    } catch (const Napi::Error&) {
      // The environment is ending: JavaScript cannot be told anything any more.
    }
  }

 private:
  Compute compute_;
  ToValue to_value_;
  Napi::Promise::Deferred deferred_;
  std::optional<decltype(std::declval<Compute&>()())> result_;
  std::optional<Failure> failure_;
};

/**
 * Computes something that takes a while off the JavaScript thread.
 *
 * @param name      what Node's diagnostics call the work
 * @param compute   () -> Result, on a thread of Node's pool; what it throws becomes the rejection
 * @param to_value  (Napi::Env, Result) -> Napi::Value to resolve with, back on the JavaScript thread
 */
template <class Compute, class ToValue>
Napi::Promise compute_promise(Napi::Env env, const char* name, Compute compute, ToValue to_value) {
  auto* worker = new PromiseWorker<Compute, ToValue>(env, name, std::move(compute), std::move(to_value));
  worker->Queue();
  return worker->promise();
}

}  // namespace sightline
