#include "addon/engine_object.h"

#include "addon/checkpoint_arguments.h"
#include "addon/engine_arguments.h"
#include "addon/engine_results.h"

namespace sightline {
namespace {

constexpr const char* disposed_message = "the engine is disposed; create a new one";

/** Ends an engine in mid-work, which takes until its next pause, without holding up JavaScript. */
class DisposeWorker : public Napi::AsyncWorker {
 public:
  DisposeWorker(Napi::Env env, std::unique_ptr<Engine> engine)
      : Napi::AsyncWorker(env, "sightline:dispose"), engine_(std::move(engine)) {}

 protected:
  void Execute() override { engine_.reset(); }

 private:
  std::unique_ptr<Engine> engine_;
};

/** A promise with the number that `cancel` takes. */
Napi::Value to_js(Napi::Env env, const PromiseQueue::Ticket& ticket) {
  Napi::Object call = Napi::Object::New(env);
  call.Set("id", static_cast<double>(ticket.id));
  call.Set("promise", ticket.promise);
  return call;
}

}  // namespace

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(env, "NativeEngine",
                     {
                         InstanceMethod<&EngineObject::generate>("generate"),
                         InstanceMethod<&EngineObject::release_requests>("releaseRequests"),
                         InstanceMethod<&EngineObject::forward>("forward"),
                         InstanceMethod<&EngineObject::backward>("backward"),
                         InstanceMethod<&EngineObject::step>("step"),
                         InstanceMethod<&EngineObject::save>("save"),
                         InstanceMethod<&EngineObject::load>("load"),
                         InstanceMethod<&EngineObject::start_profile>("startProfile"),
                         InstanceMethod<&EngineObject::stop_profile>("stopProfile"),
                         InstanceMethod<&EngineObject::cancel>("cancel"),
                         InstanceMethod<&EngineObject::memory>("memory"),
                         InstanceMethod<&EngineObject::parameters>("parameters"),
                         InstanceMethod<&EngineObject::dispose>("dispose"),
                     });
}

Napi::Object EngineObject::wrap(Napi::Env env, const Napi::Function& engine_class,
                                std::unique_ptr<Engine> engine) {
  return engine_class.New({Napi::External<std::unique_ptr<Engine>>::New(env, &engine)});
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "NativeEngine is made by createEngine");
  queue_ = PromiseQueue::open(info.Env());
  engine_ = std::move(*info[0].As<Napi::External<std::unique_ptr<Engine>>>().Data());
  napi_add_env_cleanup_hook(info.Env(), run_cleanup_hook, this);
}

EngineObject::~EngineObject() {
  if (!queue_) return;  // the environment has ended before this object
  napi_remove_env_cleanup_hook(Env(), run_cleanup_hook, this);
  end();
}

void EngineObject::run_cleanup_hook(void* object) { static_cast<EngineObject*>(object)->end(); }

void EngineObject::end() {
  // In this order: from here on the engine's thread, which may be calling back right now, reaches no Node-API
  // function.
  queue_->close();
  engine_.reset();
  queue_.reset();
}

Engine& EngineObject::engine() const {
  if (!engine_) fail(ErrorCode::disposed, disposed_message);
  return *engine_;
}

PromiseQueue::Ticket EngineObject::new_ticket(const Napi::CallbackInfo& info, Cancellation cancelled) {
  return queue_->add(info.Env(), info.This().As<Napi::Object>(), std::move(cancelled));
}

template <class Result>
Callback<Result> EngineObject::callback_for(const PromiseQueue::Ticket& ticket) const {
  const auto resolve = [queue = queue_, id = ticket.id](Result result) {
    // Shared, because a std::function has to be able to copy what it holds.
    const auto shared = std::make_shared<Result>(std::move(result));
    queue->resolve(id, [shared](Napi::Env env) { return to_js(env, std::move(*shared)); });
  };
  const auto reject = [queue = queue_, id = ticket.id](const Error& error) {
    queue->reject(id, Failure(error));
  };
  return {.resolve = resolve, .reject = reject};
}

Napi::Value EngineObject::generate(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    Engine& target = engine();
    GenerateRequest request = to_generate_request({info[0], "request"});
    const auto cancelled = std::make_shared<std::atomic<bool>>(false);
    const PromiseQueue::Ticket ticket = new_ticket(info, cancelled);
    target.generate(std::move(request), cancelled, callback_for<Completion>(ticket));
    return to_js(info.Env(), ticket);
  });
}

void EngineObject::release_requests(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    if (engine_) engine_->release_requests();
  });
}

Napi::Value EngineObject::forward(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    Engine& target = engine();
    std::vector<Sequence> sequences = to_sequences({info[0], "batch"});
    const ForwardOptions options = to_forward_options({info[1], "options"});
    const auto cancelled = std::make_shared<std::atomic<bool>>(false);
    const PromiseQueue::Ticket ticket = new_ticket(info, cancelled);
    target.forward(std::move(sequences), options, cancelled, callback_for<ForwardResult>(ticket));
    return to_js(info.Env(), ticket);
  });
}

Napi::Value EngineObject::backward(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    Engine& target = engine();
    const int64_t tape = Argument(info[0], "forward").field("tape").integer(0, largest_exact_integer);
    OutputGradient gradient = to_output_gradient({info[1], "gradient"});
    const PromiseQueue::Ticket ticket = new_ticket(info);
    target.backward(static_cast<uint64_t>(tape), std::move(gradient), callback_for<std::monostate>(ticket));
    return ticket.promise;
  });
}

Napi::Value EngineObject::step(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    Engine& target = engine();
    OptimizerStep step = to_optimizer_step({info[0], ""});
    const PromiseQueue::Ticket ticket = new_ticket(info);
    target.step(std::move(step), callback_for<std::vector<double>>(ticket));
    return ticket.promise;
  });
}

Napi::Value EngineObject::save(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    Engine& target = engine();
    SaveTarget files = to_save_target({info[0], "target"});
    const PromiseQueue::Ticket ticket = new_ticket(info);
    target.save(std::move(files), callback_for<std::monostate>(ticket));
    return ticket.promise;
  });
}

Napi::Value EngineObject::load(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    Engine& target = engine();
    LoadSource files = to_load_source({info[0], "source"});
    const PromiseQueue::Ticket ticket = new_ticket(info);
    target.load(std::move(files), callback_for<std::monostate>(ticket));
    return ticket.promise;
  });
}

Napi::Value EngineObject::start_profile(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    Engine& target = engine();
    const PromiseQueue::Ticket ticket = new_ticket(info);
    target.start_profile(callback_for<std::monostate>(ticket));
    return ticket.promise;
  });
}

Napi::Value EngineObject::stop_profile(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    Engine& target = engine();
    const PromiseQueue::Ticket ticket = new_ticket(info);
    target.stop_profile(callback_for<Profile>(ticket));
    return ticket.promise;
  });
}

void EngineObject::cancel(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const int64_t id = Argument(info[0], "id").integer(0, largest_exact_integer);
    if (engine_) queue_->cancel(static_cast<uint64_t>(id));
  });
}

Napi::Value EngineObject::memory(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] { return to_js(info.Env(), engine().memory()); });
}

Napi::Value EngineObject::parameters(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] { return to_js(info.Env(), engine().parameters()); });
}

void EngineObject::dispose(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    if (!engine_) return;
    const bool idle = queue_->idle();
    queue_->reject_all(info.Env(), {ErrorCode::disposed, disposed_message});
    queue_->close();
    if (idle)
      engine_.reset();
    else
      (new DisposeWorker(info.Env(), std::move(engine_)))->Queue();  // deletes itself
  });
}

}  // namespace sightline
