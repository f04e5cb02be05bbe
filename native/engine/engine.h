#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/device_choice.h"
#include "engine/generator.h"
#include "engine/learner.h"

namespace sightline {

struct EngineOptions {
  ModelSpec model;
  DeviceChoice device;
  /** Of the CPU; >= 1. */
  int threads = 1;
  /** Empty: see select_isa. Must be empty where the device is a GPU. */
  std::string cpu;
  Precision precision = Precision::fp32;
  ParameterSet::Options parameters{};
  int64_t max_batch = 64;
  /** 0: unlimited. */
  size_t memory_limit_bytes = 0;
  bool activation_checkpointing = false;
  /** See ops/counting_device.h. */
  bool dry_run = false;
  /** What each token id stands for in the text; empty: no stop strings. */
  std::vector<std::string> token_bytes;
};

struct ParameterInfo {
  std::string name;
  std::vector<int64_t> shape;
  Component component;
  bool trainable;
};

/** Where a call's result goes; exactly one of the two is called, once, on the engine's thread (or the caller's, for errors
 * that are found at once). */
template <class Result>
struct Callback {
  std::function<void(Result)> resolve;
  std::function<void(const Error&)> reject;
};
using Cancellation = std::shared_ptr<std::atomic<bool>>;

/**
 * One model with everything that happens to it: generation, scoring, gradients, optimizer, files. All of it runs on one
 * thread of the engine's own (which leads the device's thread pool); calls return at once and report through callbacks.
 *
 * Calls take effect in the order in which they are made: generation requests run together, and any other call waits for the
 * requests before it and holds back those behind it. So a request never sees weights change under it.
 */
class Engine {
 public:
  /** Builds the model with initial weights. @throws invalid_argument, unsupported, out_of_memory */
  explicit Engine(EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /** Holds the request back until `release_requests` or any other call, so that requests made together start together. */
  void generate(GenerateRequest request, Cancellation cancelled, Callback<Completion> callback);
  void release_requests();
  void forward(std::vector<Sequence> sequences, ForwardOptions options, Cancellation cancelled, Callback<ForwardResult> callback);
  void backward(uint64_t tape, OutputGradient gradient, Callback<std::monostate> callback);
  /** Resolves with each group's gradient norm before clipping. */
  void step(OptimizerStep step, Callback<std::vector<double>> callback);
  void save(SaveTarget target, Callback<std::monostate> callback);
  void load(LoadSource source, Callback<std::monostate> callback);
  /** Records every op and every call that comes behind this one; rejects with invalid_argument if that is so already. */
  void start_profile(Callback<std::monostate> callback);
  /** Ends the recording and resolves with it; rejects with invalid_argument if there is none. */
  void stop_profile(Callback<Profile> callback);

  const ModelSpec& spec() const { return vlm_->spec(); }
  /** See Device::name. */
  std::string device_name() const { return device_->name(); }
  int threads() const { return options_.threads; }
  Arena::Report memory() const { return device_->arena().use(); }
  std::vector<ParameterInfo> parameters() const;

  /**
   * Rejects all calls that have not finished with `disposed`, waits for the one that is running to come to its next pause,
   * ends the thread and frees all memory. Later calls are rejected. Callable twice, from any thread but the engine's own.
   */
  void dispose();

 private:
  /** A call that is not generation: run on the engine's thread once everything before it is done. */
  struct ControlJob {
    std::function<void()> run;
    std::function<void(const Error&)> reject;
  };
  using Job = std::variant<GenerateJob, ControlJob>;

  template <class Result, class Work>
  void submit(Callback<Result> callback, Work work);
  void enqueue(ControlJob job);
  void run();

  EngineOptions options_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Vlm> vlm_;
  std::unique_ptr<ImageFeatures> image_features_;
  std::unique_ptr<Generator> generator_;
  std::unique_ptr<Learner> learner_;
  std::vector<ParameterInfo> parameter_infos_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;
  /** Requests not yet in the queue. */
  std::vector<GenerateJob> held_;
  bool disposed_ = false;
  std::thread thread_;
};

}  // namespace sightline
