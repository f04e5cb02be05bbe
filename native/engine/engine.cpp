#include "engine/engine.h"

#include <cmath>


namespace sightline {
namespace {

const Error disposed_error(ErrorCode::disposed, "the engine is disposed; create a new one");

void validate(const EngineOptions& options) {
  require(options.threads >= 1 && options.threads <= max_threads, "threads: expected an integer in [1, ", max_threads,
          "], received ", options.threads);
  require(options.max_batch >= 1, "maxBatch: expected an integer >= 1, received ", options.max_batch);
  bool adapted = false;
  for (const Trainable trainable : options.parameters.trainable) adapted |= trainable == Trainable::lora;
  const auto& lora = options.parameters.lora;
  require(adapted == lora.has_value(), "lora: expected ", adapted ? "a rank and an alpha, since a component is trained as \"lora\", received nothing"
                                                                  : "nothing, since no component is trained as \"lora\", received a rank and an alpha");
  if (lora) {
    require(lora->rank >= 1, "lora.rank: expected an integer >= 1, received ", lora->rank);
    require(std::isfinite(lora->alpha) && lora->alpha > 0.0f, "lora.alpha: expected a number > 0, received ", lora->alpha);
    require(lora->dropout >= 0.0f && lora->dropout < 1.0f, "lora.dropout: expected a number in [0, 1), received ", lora->dropout);
  }
  // The CPU takes bf16 in pairs; attention would refuse an odd one in the middle of a run.
  const int64_t vision_head_size = options.model.vision ? sightline::vision_head_size(*options.model.vision) : 0;
  require(options.precision != Precision::bf16 || options.device.gpu || vision_head_size % 2 == 0,
          "precision: expected \"fp32\", since on the CPU bf16 takes heads of an even size and model.vision has width / heads = ",
          vision_head_size, ", received \"bf16\"");
  const size_t known = options.token_bytes.size();
  require(known == 0 || static_cast<int64_t>(known) == options.model.decoder.vocabulary_size,
          "tokenBytes: expected one entry per token, ", options.model.decoder.vocabulary_size, " in all, received ", known);
}

void validate(const GenerateRequest& request, const EngineOptions& options) {
  const ModelSpec& spec = options.model;
  validate(request.prompt, spec, "request.prompt");
  const SamplingSettings& sampling = request.sampling;
  require(std::isfinite(sampling.temperature) && sampling.temperature >= 0.0f,
          "request.sampling.temperature: expected a finite number >= 0, received ", sampling.temperature);
  require(sampling.top_k >= 0, "request.sampling.topK: expected an integer >= 0, received ", sampling.top_k);
  require(sampling.top_p > 0.0f && sampling.top_p <= 1.0f, "request.sampling.topP: expected a number in (0, 1], received ",
          sampling.top_p);
  require(request.max_new_tokens >= 0, "request.maxNewTokens: expected an integer >= 0, received ", request.max_new_tokens);
  const auto positions = static_cast<int64_t>(request.prompt.tokens.size()) + request.max_new_tokens;
  require(positions <= spec.decoder.max_positions, "request.maxNewTokens: expected at most ",
          spec.decoder.max_positions - static_cast<int64_t>(request.prompt.tokens.size()), ", since the prompt takes ",
          request.prompt.tokens.size(), " of the model's ", spec.decoder.max_positions, " positions, received ",
          request.max_new_tokens);
  require(request.stop_strings.empty() || !options.token_bytes.empty(),
          "request.stopStrings: expected none, since the engine was created without tokenBytes");
  for (size_t i = 0; i < request.stop_strings.size(); ++i)
    require(!request.stop_strings[i].empty(), "request.stopStrings[", i, "]: expected a string that is not empty");
}

void validate(const std::vector<Sequence>& sequences, const ForwardOptions& options, const Vlm& vlm) {
  const ModelSpec& spec = vlm.spec();
  require(!sequences.empty(), "batch: expected at least one sequence, received none");
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Sequence& sequence = sequences[i];
    const std::string path = concat("batch[", i, "]");
    validate(sequence.prompt, spec, path + ".prompt");
    require(!sequence.response.empty(), path, ".response: expected at least one token, received none");
    for (size_t t = 0; t < sequence.response.size(); ++t) {
      const int32_t token = sequence.response[t];
      require(token >= 0 && token < spec.decoder.vocabulary_size, path, ".response[", t, "]: expected a token id in [0, ",
              spec.decoder.vocabulary_size, "), received ", token);
    }
    const size_t length = sequence.prompt.tokens.size() + sequence.response.size();
    require(static_cast<int64_t>(length) <= spec.decoder.max_positions, path, ": expected at most ", spec.decoder.max_positions,
            " tokens of prompt and response (decoder.maxPositions), received ", length);
  }
  require(std::isfinite(options.temperature) && options.temperature > 0.0f,
          "options.temperature: expected a finite number > 0, received ", options.temperature);
  require(options.dropout_key || !vlm.parameters().drops(), "options.dropoutKey: expected two unsigned 32-bit integers, since the "
          "engine's adapters have dropout, received nothing; give every pass a key of its own");
}

}  // namespace

Engine::Engine(EngineOptions options) : options_(std::move(options)) {
  validate(options_);
  const DeviceSettings settings{options_.precision, options_.memory_limit_bytes, options_.cpu, options_.threads, options_.dry_run};
  device_ = create_device(options_.device, settings);
  vlm_ = std::make_unique<Vlm>(*device_, options_.model, options_.parameters);
  image_features_ = std::make_unique<ImageFeatures>(*device_, *vlm_);
  generator_ = std::make_unique<Generator>(*device_, *vlm_, *image_features_, options_.max_batch, options_.token_bytes);
  learner_ = std::make_unique<Learner>(*device_, *vlm_, *image_features_, options_.activation_checkpointing);
  for (const Parameter& parameter : vlm_->parameters().all())
    parameter_infos_.push_back({parameter.name, parameter.shape, parameter.component, parameter.trainable()});
  thread_ = std::thread([this] { run(); });
}

Engine::~Engine() { dispose(); }

std::vector<ParameterInfo> Engine::parameters() const { return parameter_infos_; }

void Engine::enqueue(ControlJob job) {
  release_requests();
  std::unique_lock lock(mutex_);
  if (disposed_) {
    lock.unlock();
    job.reject(disposed_error);
    return;
  }
  queue_.push_back(std::move(job));
  lock.unlock();
  wake_.notify_one();
}

void Engine::release_requests() {
  {
    std::lock_guard lock(mutex_);
    for (GenerateJob& job : held_) queue_.push_back(std::move(job));
    held_.clear();
  }
  wake_.notify_one();
}

template <class Result, class Work>
void Engine::submit(Callback<Result> callback, Work work) {
  enqueue(ControlJob{[resolve = std::move(callback.resolve), reject = callback.reject, work = std::move(work)]() mutable {
                       std::optional<Result> result;
                       try {
                         result.emplace(work());
                       } catch (...) {
                         reject(current_error());
                         return;
                       }
                       resolve(std::move(*result));
                     },
                     callback.reject});
}

void Engine::generate(GenerateRequest request, Cancellation cancelled, Callback<Completion> callback) {
  try {
    validate(request, options_);
  } catch (const Error& error) {
    callback.reject(error);
    return;
  }
  std::unique_lock lock(mutex_);
  if (disposed_) {
    lock.unlock();
    callback.reject(disposed_error);
    return;
  }
  held_.push_back({std::move(request), std::move(cancelled), std::move(callback.resolve), std::move(callback.reject)});
}

void Engine::forward(std::vector<Sequence> sequences, ForwardOptions options, Cancellation cancelled,
                     Callback<ForwardResult> callback) {
  submit(std::move(callback), [this, sequences = std::move(sequences), options, cancelled = std::move(cancelled)] {
    if (cancelled->load()) fail(ErrorCode::aborted, "forward: aborted by its signal");
    const ProfileScope scope(*device_, "forward");
    validate(sequences, options, *vlm_);
    // Training is about to change the weights: no later request will find these prompts again.
    if (options.keep_tape) generator_->forget_prompts();
    return learner_->forward(sequences, options);
  });
}

void Engine::backward(uint64_t tape, OutputGradient gradient, Callback<std::monostate> callback) {
  submit(std::move(callback), [this, tape, gradient = std::move(gradient)] {
    const ProfileScope scope(*device_, "backward");
    learner_->backward(tape, gradient);
    return std::monostate{};
  });
}

void Engine::step(OptimizerStep step, Callback<std::vector<double>> callback) {
  submit(std::move(callback), [this, step = std::move(step)] {
    const ProfileScope scope(*device_, "step");
    return learner_->step(step);
  });
}

void Engine::save(SaveTarget target, Callback<std::monostate> callback) {
  submit(std::move(callback), [this, target = std::move(target)] {
    const ProfileScope scope(*device_, "save");
    save_parameters(*device_, vlm_->parameters(), target);
    if (!target.optimizer.empty()) save_optimizer(*device_, vlm_->parameters(), target.optimizer);
    return std::monostate{};
  });
}

void Engine::load(LoadSource source, Callback<std::monostate> callback) {
  submit(std::move(callback), [this, source = std::move(source)] {
    const ProfileScope scope(*device_, "load");
    load_parameters(*device_, vlm_->parameters(), source);
    // Before anything else can fail: tapes and gradients belong to the old weights.
    learner_->reset();
    if (!source.optimizer.empty()) load_optimizer(*device_, vlm_->parameters(), source.optimizer);
    return std::monostate{};
  });
}

void Engine::start_profile(Callback<std::monostate> callback) {
  submit(std::move(callback), [this] {
    require(!device_->profiling(), "profile: another profile of this engine is being taken; wait for its end");
    device_->start_profile();
    return std::monostate{};
  });
}

void Engine::stop_profile(Callback<Profile> callback) {
  submit(std::move(callback), [this] {
    require(device_->profiling(), "profile: no profile of this engine is being taken");
    return device_->stop_profile();
  });
}

void Engine::run() {
  while (true) {
    std::optional<ControlJob> control;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return disposed_ || !queue_.empty() || !generator_->idle(); });
      if (disposed_) return;
      while (!queue_.empty() && std::holds_alternative<GenerateJob>(queue_.front())) {
        generator_->submit(std::get<GenerateJob>(std::move(queue_.front())));
        queue_.pop_front();
      }
      if (generator_->idle() && !queue_.empty()) {
        control = std::get<ControlJob>(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    if (control) {
      control->run();
      continue;
    }
    try {
      generator_->advance();
    } catch (...) {
      generator_->abandon(current_error());
    }
  }
}

void Engine::dispose() {
  release_requests();
  std::deque<Job> unfinished;
  {
    std::lock_guard lock(mutex_);
    disposed_ = true;
    unfinished.swap(queue_);
  }
  wake_.notify_one();
  if (!thread_.joinable()) return;
  thread_.join();
  for (const Job& job : unfinished) std::visit([](const auto& refused) { refused.reject(disposed_error); }, job);
  generator_->abandon(disposed_error);
  // In the order in which they refer to each other.
  learner_.reset();
  generator_.reset();
  image_features_.reset();
  vlm_.reset();
  device_.reset();
}

}  // namespace sightline
