#include "emulator/runtime/device.h"

#include <algorithm>
#include <utility>

#include "emulator/ptx/findings.h"
#include "emulator/runtime/runtime.h"

namespace sightline::emulator {
namespace {

/** cudaStreamLegacy */
Stream* const legacy_handle = reinterpret_cast<Stream*>(1);

template <class Item>
Item& find(const std::vector<std::unique_ptr<Item>>& items, const Item* handle, const char* what) {
  for (const auto& item : items)
    if (item.get() == handle) return *item;
  refuse(CudaError::invalid_handle, what, ": expected one of this device that has not been destroyed");
}

template <class Item>
void erase(std::vector<std::unique_ptr<Item>>& items, const Item& item) {
  std::erase_if(items, [&](const auto& other) { return other.get() == &item; });
}

bool all_done(const std::vector<TokenPointer>& tokens) {
  return std::ranges::all_of(tokens, [](const TokenPointer& token) { return token->done; });
}

/** What the CUDA runtime would have answered to what a kernel did. */
CudaError error_of(const Violation& violation) {
  switch (violation.findings().empty() ? FindingKind::race : violation.findings().front().kind) {
    case FindingKind::out_of_bounds: return CudaError::illegal_address;
    case FindingKind::misaligned: return CudaError::misaligned_address;
    case FindingKind::budget: return CudaError::launch_timeout;
    default: return CudaError::launch_failure;
  }
}

}  // namespace

Device::Device(int index, const SightlineEmulatorSettings& settings)
    : index_(index),
      settings_(settings),
      memory_(settings.memory_budget_bytes),
      random_(settings.seed * 1000003 + static_cast<uint64_t>(index)) {
  auto stream = std::make_unique<Stream>();
  default_stream_ = stream.get();
  streams_.push_back(std::move(stream));
}

// Others may hold tokens of what now never runs.
Device::~Device() { drop_work(); }

void Device::drop_work() {
  for (const auto& stream : streams_) {
    for (const QueuedOperation& queued : stream->queue) queued.done->done = true;
    stream->queue.clear();
  }
}

// ---- streams, events, graphs ----

Stream& Device::add_stream(std::unique_ptr<Stream> stream) {
  stream->number = ++streams_made_;
  streams_.push_back(std::move(stream));
  return *streams_.back();
}

Stream& Device::create_stream(bool blocking) {
  auto stream = std::make_unique<Stream>();
  stream->blocking = blocking;
  return add_stream(std::move(stream));
}

Stream& Device::stream(Stream* handle) {
  if (handle == nullptr || handle == legacy_handle) return *default_stream_;
  Stream& stream = find(streams_, handle, "stream");
  if (stream.destroyed) refuse(CudaError::invalid_handle, "stream: has been destroyed");
  return stream;
}

void Device::destroy_stream(Stream& stream) {
  if (&stream == default_stream_) refuse(CudaError::invalid_handle, "stream: the default stream cannot be destroyed");
  if (stream.capture) stream.capture->invalid = true;
  stream.capture.reset();
  stream.destroyed = true;
  remove_finished_streams();
}

void Device::remove_finished_streams() {
  std::erase_if(streams_, [](const auto& stream) { return stream->destroyed && stream->queue.empty(); });
}

Event& Device::create_event(bool timing) {
  events_.push_back(std::make_unique<Event>());
  events_.back()->timing = timing;
  return *events_.back();
}

Event& Device::event(Event* handle) { return find(events_, handle, "event"); }
void Device::destroy_event(Event& event) { erase(events_, event); }

Graph& Device::keep(Graph graph) {
  graphs_.push_back(std::make_unique<Graph>(std::move(graph)));
  return *graphs_.back();
}
Graph& Device::graph(Graph* handle) { return find(graphs_, handle, "graph"); }
void Device::destroy(Graph& graph) { erase(graphs_, graph); }

GraphExecutable& Device::keep(GraphExecutable executable) {
  executables_.push_back(std::make_unique<GraphExecutable>(std::move(executable)));
  return *executables_.back();
}
GraphExecutable& Device::executable(GraphExecutable* handle) { return find(executables_, handle, "executable graph"); }
void Device::destroy(GraphExecutable& executable) { erase(executables_, executable); }

// ---- work ----

TokenPointer Device::push(Stream& stream, std::shared_ptr<const Operation> operation, std::vector<TokenPointer> dependencies) {
  // The default stream and the blocking ones are ordered against each other as if each call were an event of all.
  if (&stream == default_stream_) {
    for (const auto& other : streams_)
      if (other->blocking && other.get() != &stream && other->last) dependencies.push_back(other->last);
  } else if (stream.blocking && default_stream_->last) {
    dependencies.push_back(default_stream_->last);
  }
  std::erase_if(dependencies, [](const TokenPointer& token) { return token->done; });
  stream.last = std::make_shared<Token>();
  stream.queue.push_back({std::move(operation), std::move(dependencies), stream.last});
  return stream.last;
}

TokenPointer Device::submit(Stream& stream, Operation operation, const std::vector<TokenPointer>& dependencies) {
  if (&stream == default_stream_ && !captures().empty()) {
    for (Capture* capture : captures()) capture->invalid = true;
    refuse(CudaError::capture_implicit, operation.name,
           ": the default stream would have to wait for a stream that is recorded");
  }
  if (stream.capture) {
    add_node(stream, std::move(operation));
    return nullptr;
  }
  TokenPointer token = push(stream, std::make_shared<const Operation>(std::move(operation)), dependencies);
  if (!settings_.lazy) {
    wait(token);
  } else if (random() % 8 == 0) {
    step();
  }
  return token;
}

void Device::launch(GraphExecutable& executable, Stream& stream) {
  const auto marker = [](const char* name) {
    return std::make_shared<const Operation>(Operation{.name = name, .run = {}, .ready = {}, .uses = {}});
  };
  std::vector<TokenPointer> earlier;
  if (executable.last) earlier.push_back(executable.last);
  const TokenPointer begin = push(stream, marker("cudaGraphLaunch"), std::move(earlier));
  // Each node in a stream of its own that nothing but tokens orders.
  std::vector<TokenPointer> tokens;
  for (const GraphNode& node : executable.graph.nodes) {
    auto lane = std::make_unique<Stream>();
    lane->blocking = false;
    lane->destroyed = true;
    std::vector<TokenPointer> dependencies{begin};
    for (const size_t index : node.dependencies) dependencies.push_back(tokens[index]);
    tokens.push_back(push(add_stream(std::move(lane)), node.operation, std::move(dependencies)));
  }
  executable.last = push(stream, marker("end of cudaGraphLaunch"), std::move(tokens));
  if (!settings_.lazy) wait(executable.last);
}

bool Device::may_run(const Stream& stream) {
  if (stream.queue.empty()) return false;
  const QueuedOperation& next = stream.queue.front();
  return all_done(next.dependencies) && (!next.operation->ready || next.operation->ready());
}

void Device::run(Stream& stream) {
  // Out of the queue only afterwards: memory that it uses is in use while it runs.
  const QueuedOperation& next = stream.queue.front();
  if (next.operation->run) next.operation->run();
  next.done->time = std::chrono::steady_clock::now();
  next.done->done = true;
  stream.queue.pop_front();
  remove_finished_streams();
}

bool Device::run_first(const std::vector<Stream*>& candidates) {
  try {
    for (Stream* stream : candidates) {
      if (!may_run(*stream)) continue;
      run(*stream);
      return true;
    }
    return false;
  } catch (const DeviceFault& failure) {
    fail(failure.error, failure.message);
  } catch (const Violation& violation) {
    fail(error_of(violation), violation.what());
  } catch (const std::exception& exception) {
    fail(CudaError::launch_failure, exception.what());
  }
  return true;
}

bool Device::step() {
  std::vector<Stream*> candidates;
  for (const auto& stream : streams_)
    if (!stream->queue.empty()) candidates.push_back(stream.get());
  if (settings_.lazy) {
    for (size_t i = candidates.size(); i > 1; --i) std::swap(candidates[i - 1], candidates[random() % i]);
  }
  return run_first(candidates);
}

Stream* Device::needed_for(const Token* token) {
  for (const auto& stream : streams_) {
    const auto is_token = [&](const QueuedOperation& queued) { return queued.done.get() == token; };
    if (std::ranges::none_of(stream->queue, is_token)) continue;
    std::vector<const Token*> missing;
    for (const TokenPointer& dependency : stream->queue.front().dependencies)
      if (!dependency->done) missing.push_back(dependency.get());
    return missing.empty() ? stream.get() : needed_for(missing[random() % missing.size()]);
  }
  return nullptr;
}

void Device::wait(const TokenPointer& token) {
  // As lazy as can be most of the time: nothing runs but what the awaited work depends on by the program's own words.
  const bool on_demand = settings_.lazy && random() % 4 != 0;
  while (token && !token->done) {
    if (on_demand && run_first({needed_for(token.get())})) continue;
    // Nothing may run while another rank has yet to arrive: stream order and events alone cannot form a circle.
    if (!step()) Runtime::instance().await_progress();
  }
}

void Device::wait_for_all() {
  const auto is_busy = [](const auto& stream) { return !stream->queue.empty(); };
  while (std::ranges::any_of(streams_, is_busy)) {
    if (!step()) Runtime::instance().await_progress();
  }
}

const std::string* Device::user_of(const void* begin, size_t bytes) const {
  const auto first = reinterpret_cast<uintptr_t>(begin);
  for (const auto& stream : streams_) {
    for (const QueuedOperation& queued : stream->queue) {
      for (const MemoryRange& use : queued.operation->uses) {
        const auto used = reinterpret_cast<uintptr_t>(use.begin);
        if (used < first + bytes && first < used + use.bytes) return &queued.operation->name;
      }
    }
  }
  return nullptr;
}

void Device::fail(CudaError error, const std::string& message) {
  if (error_ == CudaError::success) {
    error_ = error;
    violation_ = message;
  }
  drop_work();
  remove_finished_streams();
}

}  // namespace sightline::emulator
