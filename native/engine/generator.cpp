#include "engine/generator.h"

#include <algorithm>

#include "engine/paged_attention.h"

namespace sightline {
namespace {

// Rows of one prefill pass: enough to keep the cores busy, few enough that requests in flight wait only briefly.
constexpr size_t max_prefill_rows = 4096;

}  // namespace

void Generator::advance() {
  const ProfileScope scope(device_, "generate");
  drop_cancelled();
  const size_t decoding = active_.size();
  admit();
  // What was drawn is taken only when nothing can go wrong any more: an error leaves every response as it was.
  const DrawnTokens decoded = decoding > 0 ? decode(decoding) : DrawnTokens();
  const DrawnTokens drawn = active_.size() > decoding ? draw_first(decoding) : DrawnTokens();
  take(0, decoded);
  take(decoding, drawn);
  retire();
}

void Generator::abandon(const Error& error) {
  // Callers may learn of it while this object is used no more: take everything out first.
  std::vector<Active> active = std::move(active_);
  std::deque<GenerateJob> waiting = std::move(waiting_);
  active_.clear();
  waiting_.clear();
  recent_.clear();
  for (const Active& a : active)
    for (const GenerateJob& job : a.jobs) job.reject(error);
  for (const GenerateJob& job : waiting) job.reject(error);
}

void Generator::drop_cancelled() {
  const Error aborted(ErrorCode::aborted, "generate: aborted by its signal");
  const auto drop = [&](auto& jobs) {
    std::erase_if(jobs, [&](const GenerateJob& job) {
      const bool cancelled = job.cancelled->load(std::memory_order_relaxed);
      if (cancelled) job.reject(aborted);
      return cancelled;
    });
  };
  drop(waiting_);
  for (Active& active : active_) drop(active.jobs);
  std::erase_if(active_, [](const Active& active) { return active.jobs.empty(); });
}

void Generator::admit() {
  std::vector<std::shared_ptr<Prefix>> fresh;
  size_t rows = 0;
  // Of the first so many requests that wait. They go on waiting until they are served: an error then finds them there.
  std::vector<std::shared_ptr<Prefix>> prefixes;
  for (const GenerateJob& job : waiting_) {
    if (static_cast<int64_t>(active_.size() + prefixes.size()) == max_batch_) break;
    const Prompt& prompt = job.request.prompt;
    const uint64_t hash = prompt.hash();
    std::shared_ptr<Prefix> prefix = find_prefix(prompt, hash);
    for (const auto& other : fresh)
      if (!prefix && other->hash == hash && other->prompt == prompt) prefix = other;
    if (!prefix) {
      if (!fresh.empty() && rows + prompt.tokens.size() > max_prefill_rows) break;
      rows += prompt.tokens.size();
      fresh.push_back(std::make_shared<Prefix>(Prefix{prompt, hash, vlm_.parameters().version(), {}, {}, 0.0f, 0, {}}));
      prefix = fresh.back();
    }
    prefixes.push_back(std::move(prefix));
  }
  if (!fresh.empty()) prefill(fresh);
  for (const std::shared_ptr<Prefix>& prefix : prefixes) {
    serve(waiting_.front(), prefix);
    waiting_.pop_front();
  }
}

void Generator::serve(GenerateJob& job, const std::shared_ptr<Prefix>& prefix) {
  Completion completion;
  completion.value = prefix->value;
  if (job.request.max_new_tokens == 0) return job.resolve(std::move(completion));
  if (share_response(job, *prefix)) return;
  std::vector<Page> pages = prefix->pages;
  // The response goes on in the page that the prompt ends in, so that page becomes the request's own.
  if (prefix->prompt.tokens.size() % attention_block != 0) {
    const Page copy = new_page();
    device_.copy(copy->data(), pages.back()->data(), copy->bytes());
    pages.back() = copy;
  }
  active_.push_back({{}, prefix, std::move(pages), std::move(completion), {}});
  active_.back().jobs.push_back(std::move(job));
}

bool Generator::sharable(const GenerateRequest& request) const {
  return request.sampling.temperature == 0.0f && !vlm_.parameters().drops();
}

bool Generator::share_response(GenerateJob& job, const Prefix& prefix) {
  const GenerateRequest& request = job.request;
  if (!sharable(request)) return false;
  const auto ends_alike = [&](const auto& other) {
    return other.max_new_tokens == request.max_new_tokens && other.stop_strings == request.stop_strings;
  };
  for (const GreedyResponse& response : prefix.greedy_responses)
    if (ends_alike(response)) {
      job.resolve(response.completion);
      return true;
    }
  for (Active& active : active_) {
    const GenerateRequest& other = active.request();
    if (active.prefix.get() == &prefix && sharable(other) && ends_alike(other)) {
      active.jobs.push_back(std::move(job));
      return true;
    }
  }
  return false;
}

void Generator::finish(Active& active) {
  const GenerateRequest& request = active.request();
  if (sharable(request))
    active.prefix->greedy_responses.push_back({request.max_new_tokens, request.stop_strings, active.completion});
  for (const GenerateJob& job : active.jobs) job.resolve(active.completion);
}

std::shared_ptr<Generator::Prefix> Generator::find_prefix(const Prompt& prompt, uint64_t hash) {
  const uint64_t version = vlm_.parameters().version();
  std::erase_if(recent_, [&](const auto& prefix) { return prefix->weights_version != version; });
  for (auto entry = recent_.begin(); entry != recent_.end(); ++entry)
    if ((*entry)->hash == hash && (*entry)->prompt == prompt) {
      recent_.splice(recent_.begin(), recent_, entry);
      return *entry;
    }
  return nullptr;
}

void Generator::prefill(const std::vector<std::shared_ptr<Prefix>>& prefixes) {
  const ProfileScope scope(device_, "prefill");
  std::vector<Sequence> sequences;
  for (const auto& prefix : prefixes) sequences.push_back({prefix->prompt, {}});
  const ParameterSet& parameters = vlm_.parameters();
  std::optional<RandomKey> dropout_key;
  if (parameters.drops()) dropout_key = {parameters.seed(), static_cast<uint32_t>(parameters.steps())};
  const Packing packing = pack(device_, sequences, vlm_.spec(), dropout_key);
  std::vector<void*> row_pages(packing.ids.values().size());
  std::vector<int32_t> row_slots(packing.ids.values().size());
  for (size_t i = 0; i < prefixes.size(); ++i)
    for (int32_t t = 0; t < packing.prompts[i].length; ++t) {
      if (t % attention_block == 0) prefixes[i]->pages.push_back(new_page());
      const auto row = static_cast<size_t>(packing.prompts[i].first + t);
      row_pages[row] = prefixes[i]->pages.back()->data();
      row_slots[row] = static_cast<int32_t>(t % attention_block);
    }

  Tape tape(device_, Tape::Mode::inference);
  Var features;
  if (!packing.images.empty())
    features = image_features_.encode(tape, packing.images, packing.image_keys);
  PrefillAttention attention(packing.segments, packing.first_outputs, device_.mirror(std::move(row_pages)),
                             device_.mirror(std::move(row_slots)));
  Decoder& decoder = vlm_.decoder();
  const Var hidden = decoder.forward(tape, decoder.embed(tape, packing.ids, features), packing.positions, attention,
                                     packing.output_rows, packing.row_keys);
  const Var ends = gather_rows(tape, hidden, packing.prompt_end_outputs);
  const Var values = vlm_.value_head().forward(tape, ends, packing.prompt_end_keys);
  const std::vector<float> numbers = device_.read(values->value);
  for (size_t i = 0; i < prefixes.size(); ++i) {
    Prefix& prefix = *prefixes[i];
    const Tensor end = ends->value.slice_rows(static_cast<int64_t>(i), 1);
    prefix.hidden = device_.allocate(Purpose::kv_cache, 1, end.columns(), end.type());
    device_.copy(prefix.hidden, end);
    prefix.value = numbers[i];
    prefix.next_position = packing.prompts[i].next_position;
    recent_.push_front(prefixes[i]);
  }
  while (static_cast<int64_t>(recent_.size()) > max_batch_) recent_.pop_back();
}

DrawnTokens Generator::decode(size_t count) {
  const ProfileScope scope(device_, "decode");
  std::vector<DecodeRow> rows;
  for (size_t i = 0; i < count; ++i) {
    Active& active = active_[i];
    const size_t behind = active.completion.tokens.size() - 1;
    const size_t index = active.prefix->prompt.tokens.size() + behind;
    if (index % attention_block == 0) active.pages.push_back(new_page());
    const int32_t position = active.prefix->next_position + static_cast<int32_t>(behind);
    rows.push_back({active.completion.tokens.back(), static_cast<int32_t>(index), position, &active.pages, draw_settings(active)});
  }
  return decode_step_.run(rows);
}

DrawnTokens Generator::draw_first(size_t first) {
  const size_t count = active_.size() - first;
  const ProfileScope scope(device_, "sample");
  const Tensor hidden = device_.allocate(Purpose::activations, static_cast<int64_t>(count), vlm_.spec().decoder.width,
                                         device_.operand_type());
  std::vector<DrawSettings> settings;
  for (size_t i = 0; i < count; ++i) {
    device_.copy(hidden.slice_rows(static_cast<int64_t>(i), 1), active_[first + i].prefix->hidden);
    settings.push_back(draw_settings(active_[first + i]));
  }
  return decode_step_.draw(hidden, settings);
}

DrawSettings Generator::draw_settings(const Active& active) {
  const GenerateRequest& request = active.request();
  return {request.sampling, request.random_key, static_cast<int32_t>(active.completion.tokens.size())};
}

void Generator::take(size_t first, const DrawnTokens& drawn) {
  for (size_t i = 0; i < drawn.tokens.size(); ++i) {
    Active& active = active_[first + i];
    active.completion.tokens.push_back(drawn.tokens[i]);
    active.completion.log_probs.push_back(drawn.log_probs[i]);
  }
}

void Generator::retire() {
  std::vector<Active> unfinished;
  for (Active& active : active_) {
    if (const auto reason = finish_reason(active, active.completion.tokens.back())) {
      active.completion.finish_reason = *reason;
      finish(active);
    } else {
      unfinished.push_back(std::move(active));
    }
  }
  active_ = std::move(unfinished);
}

std::optional<FinishReason> Generator::finish_reason(Active& active, int32_t token) const {
  const GenerateRequest& request = active.request();
  if (token == vlm_.spec().end_token_id) return FinishReason::end;
  if (!request.stop_strings.empty()) {
    active.tail += token_bytes_[static_cast<size_t>(token)];
    size_t longest = 0;
    for (const std::string& stop : request.stop_strings) {
      if (active.tail.find(stop) != std::string::npos) return FinishReason::stop;
      longest = std::max(longest, stop.size());
    }
    if (active.tail.size() >= longest) active.tail.erase(0, active.tail.size() - (longest - 1));
  }
  if (static_cast<int32_t>(active.completion.tokens.size()) >= request.max_new_tokens) return FinishReason::length;
  return std::nullopt;
}

Page Generator::new_page() {
  const DecoderSpec& spec = vlm_.spec().decoder;
  return device_.arena().allocate(
      static_cast<size_t>(spec.layers * page_layer_size(spec.kv_heads, spec.head_size) * size_of(device_.operand_type())),
      Purpose::kv_cache);
}

}  // namespace sightline
