#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "engine/decode_step.h"
#include "engine/image_features.h"
#include "engine/packing.h"
#include "models/vlm.h"

namespace sightline {

struct GenerateRequest {
  Prompt prompt;
  SamplingSettings sampling;
  RandomKey random_key{};
  int32_t max_new_tokens = 0;
  std::vector<std::string> stop_strings;
};

enum class FinishReason { end, stop, length };

struct Completion {
  std::vector<int32_t> tokens;
  std::vector<float> log_probs;
  float value = 0.0f;
  FinishReason finish_reason = FinishReason::length;
};

/** One request with the way back to its caller. */
struct GenerateJob {
  GenerateRequest request;
  /** Set by the caller, from any thread, to give up. */
  std::shared_ptr<std::atomic<bool>> cancelled;
  /** Exactly one of the two is called, once. */
  std::function<void(Completion)> resolve;
  std::function<void(const Error&)> reject;
};

/**
 * Continuous batching: every `advance` admits what is waiting, prefills new prompts, and decodes one token for everything in
 * flight. Requests with equal prompts share one prefill, also with recent ones, until the weights change; greedy requests
 * that are equal altogether share one response. What a request gets depends on the request alone.
 *
 * Where adapters drop something, they do so here too: for the rows of a prompt by its contents, the seed, and the number of
 * optimizer steps so far, so that requests still share them; for those of a response by the request's key, so that greedy
 * responses are no longer equal, and none is shared.
 */
class Generator {
 public:
  /**
   * @param token_bytes  what each token id stands for in the text, for stop strings; may be empty
   */
  Generator(Device& device, Vlm& vlm, ImageFeatures& image_features, int64_t max_batch, std::vector<std::string> token_bytes)
      : device_(device),
        vlm_(vlm),
        image_features_(image_features),
        max_batch_(max_batch),
        token_bytes_(std::move(token_bytes)),
        decode_step_(device, vlm, max_batch) {}

  void submit(GenerateJob job) { waiting_.push_back(std::move(job)); }
  bool idle() const { return waiting_.empty() && active_.empty(); }
  /** One step for everything in flight. An error ends all of it. */
  void advance();
  /** Lets go of the caches of prompts that nothing in flight continues. */
  void forget_prompts() { recent_.clear(); }
  /** Rejects everything in flight. */
  void abandon(const Error& error);

 private:
  /** A response decoded greedily: a function of the prompt, the weights and these two. */
  struct GreedyResponse {
    int32_t max_new_tokens;
    std::vector<std::string> stop_strings;
    Completion completion;
  };

  /** A prompt that has been through the model. */
  struct Prefix {
    Prompt prompt;
    uint64_t hash;
    uint64_t weights_version;
    std::vector<Page> pages;
    /** (1, width) final hidden state of the last prompt row. */
    Tensor hidden;
    float value;
    /** Of the first token of a response. */
    int32_t next_position;
    std::vector<GreedyResponse> greedy_responses;
  };

  /** A response in flight. */
  struct Active {
    /** Who asked for it: one, or with greedy decoding all whose requests are equal. */
    std::vector<GenerateJob> jobs;
    std::shared_ptr<Prefix> prefix;
    std::vector<Page> pages;
    Completion completion;
    /** The last bytes of the text, enough to see a stop string that ends at the next token. */
    std::string tail;

    const GenerateRequest& request() const { return jobs.front().request; }
  };

  void drop_cancelled();
  void admit();
  /** Answers the request at once where that is possible, else takes it into flight. */
  void serve(GenerateJob& job, const std::shared_ptr<Prefix>& prefix);
  std::shared_ptr<Prefix> find_prefix(const Prompt& prompt, uint64_t hash);
  /** Whether all requests that ask for the same as this one of the same prompt get the same response. */
  bool sharable(const GenerateRequest& request) const;
  /** Where an equal greedy request has its response or will have it, serves this one by it too. */
  bool share_response(GenerateJob& job, const Prefix& prefix);
  void finish(Active& active);
  void prefill(const std::vector<std::shared_ptr<Prefix>>& prefixes);
  /** The next tokens of the requests in [0, count) of active_. */
  DrawnTokens decode(size_t count);
  /** The first tokens of the requests in active_ from `first` on. */
  DrawnTokens draw_first(size_t first);
  static DrawSettings draw_settings(const Active& active);
  /** Appends tokens to the responses in active_ from `first` on. */
  void take(size_t first, const DrawnTokens& drawn);
  /** Answers the requests that end with their last token. */
  void retire();
  std::optional<FinishReason> finish_reason(Active& active, int32_t token) const;
  Page new_page();

  Device& device_;
  Vlm& vlm_;
  ImageFeatures& image_features_;
  const int64_t max_batch_;
  const std::vector<std::string> token_bytes_;
  DecodeStep decode_step_;
  std::deque<GenerateJob> waiting_;
  /** Requests that have tokens come before those just admitted. */
  std::vector<Active> active_;
  /** Most recently used first; at most max_batch_. */
  std::list<std::shared_ptr<Prefix>> recent_;
};

}  // namespace sightline
