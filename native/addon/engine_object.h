#pragma once

#include <napi.h>

#include <memory>

#include "addon/promise_queue.h"
#include "engine/engine.h"

namespace sightline {

/**
 * An Engine as JavaScript holds it: NativeEngine of src/native/addon.ts. Every method converts its arguments
 * and hands them to the engine; what the engine does later settles a promise. Arguments of wrong types throw
 * at once.
 */
class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);
  /** A new object of the class that `define` returned. */
  static Napi::Object wrap(Napi::Env env, const Napi::Function& engine_class, std::unique_ptr<Engine> engine);

  /** For `wrap`: `info[0]` is an External of the std::unique_ptr<Engine> to move from. */
  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;

 private:
  Napi::Value generate(const Napi::CallbackInfo& info);
  void release_requests(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);
  Napi::Value backward(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value save(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value start_profile(const Napi::CallbackInfo& info);
  Napi::Value stop_profile(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value parameters(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  /** @throws disposed */
  Engine& engine() const;
  PromiseQueue::Ticket new_ticket(const Napi::CallbackInfo& info, Cancellation cancelled = nullptr);
  /** The engine's way back to the promise of `ticket`. */
  template <class Result>
  Callback<Result> callback_for(const PromiseQueue::Ticket& ticket) const;
  /** Stops everything native. */
  void end();
  /**
   * Calls `end` when the environment ends before the object does. Its destructor would come too, but Node-API
   * does not say whether before or after the parts of the environment that the engine's thread may be using.
   */
  static void run_cleanup_hook(void* object);

  /** Null once disposed. */
  std::unique_ptr<Engine> engine_;
  /** Null once the environment has ended. */
  std::shared_ptr<PromiseQueue> queue_;
};

}  // namespace sightline
