#include <napi.h>

#include <optional>

#include "addon/engine_arguments.h"
#include "addon/engine_object.h"
#include "addon/failure.h"

namespace sightline {
namespace {

/** What one JavaScript environment (the main thread's or a worker's) holds. */
struct EnvironmentData {
  Napi::FunctionReference engine_class;
};

/** Builds an engine, which takes as long as its weights take to fill, without holding up JavaScript. */
class CreateWorker : public Napi::AsyncWorker {
 public:
  CreateWorker(Napi::Env env, EngineOptions options)
      : Napi::AsyncWorker(env, "sightline:create"),
        options_(std::move(options)),
        deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      engine_ = std::make_unique<Engine>(std::move(options_));
    } catch (...) {
      failure_ = current_failure();
    }
  }

  void OnOK() override {
    try {
      if (failure_) {
        deferred_.Reject(to_js_error(Env(), *failure_).Value());
        return;
      }
      const Napi::Function engine_class = Env().GetInstanceData<EnvironmentData>()->engine_class.Value();
      deferred_.Resolve(EngineObject::wrap(Env(), engine_class, std::move(engine_)));
    } catch (const Napi::Error&) {
      // The environment is ending: JavaScript cannot be told anything any more.
    }
  }

 private:
  EngineOptions options_;
  Napi::Promise::Deferred deferred_;
  std::unique_ptr<Engine> engine_;
  std::optional<Failure> failure_;
};

/** createEngine(options: EngineOptions): Promise<NativeEngine> */
Napi::Value create_engine(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    EngineOptions options = to_engine_options({info[0], ""});
    auto* worker = new CreateWorker(info.Env(), std::move(options));  // deletes itself
    worker->Queue();
    return worker->promise();
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new EnvironmentData{Napi::Persistent(EngineObject::define(env))});
  exports.Set("createEngine", Napi::Function::New(env, create_engine));
  return exports;
}

}  // namespace
}  // namespace sightline

static Napi::Object init_module(Napi::Env env, Napi::Object exports) { return sightline::init(env, exports); }
NODE_API_MODULE(sightline, init_module)
