#pragma once

#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "emulator/runtime/control.h"
#include "emulator/runtime/device_memory.h"
#include "emulator/runtime/failure.h"
#include "emulator/runtime/stream.h"

namespace sightline::emulator {

/**
 * One emulated GPU: its memory, streams, events, graphs, and what went wrong on it.
 *
 * Work is lazy and adversarial: a queued operation runs only when something waits (or now and then by chance), and of all
 * streams that could go on, chance picks one; a wait mostly runs nothing but what it depends on. What orders work is what the
 * program said: stream order, events, the default stream. So a missing event wait, or host memory reused before its copy, gives
 * wrong results for most seeds. Members other than mutex() are called with the mutex held.
 */
class Device {
 public:
  Device(int index, const SightlineEmulatorSettings& settings);
  ~Device();

  int index() const { return index_; }
  std::recursive_mutex& mutex() { return mutex_; }
  const SightlineEmulatorSettings& settings() const { return settings_; }
  DeviceMemory& memory() { return memory_; }
  /** The calls of the runtime and of cuBLASLt count themselves. */
  SightlineEmulatorCalls& calls() { return calls_; }

  // ---- streams, events, graphs ----
  Stream& create_stream(bool blocking);
  /** The stream of a handle; null and cudaStreamLegacy are the default stream. @throws Refusal for what is no stream of this
   * device */
  Stream& stream(Stream* handle);
  /** Its queued work still runs. */
  void destroy_stream(Stream& stream);
  Event& create_event(bool timing);
  /** @throws Refusal for what is no event of this device */
  Event& event(Event* handle);
  void destroy_event(Event& event);

  Graph& keep(Graph graph);
  Graph& graph(Graph* handle);
  void destroy(Graph& graph);
  GraphExecutable& keep(GraphExecutable executable);
  GraphExecutable& executable(GraphExecutable* handle);
  void destroy(GraphExecutable& executable);

  // ---- work ----
  /** Queues an operation, or adds it to the graph that the stream records. @returns its token, null when recorded */
  TokenPointer submit(Stream& stream, Operation operation, const std::vector<TokenPointer>& dependencies = {});
  /** Queues every node of a graph; their order is random but for its edges. */
  void launch(GraphExecutable& executable, Stream& stream);
  /** Runs work until `token` is done; null is done. */
  void wait(const TokenPointer& token);
  /** Runs everything. */
  void wait_for_all();
  /** Runs one operation that may run, chosen at random. @returns false when none may */
  bool step();
  /** A name of queued work that uses any of these bytes, or null. */
  const std::string* user_of(const void* begin, size_t bytes) const;

  // ---- captures (device_capture.cpp) ----
  void begin_capture(Stream& stream, CaptureMode mode);
  /** @returns what was recorded. @throws Refusal */
  Graph end_capture(Stream& stream);
  /** Refuses a call that may not be made while streams are recorded, and spoils those recordings. */
  void forbid_while_capturing(const char* call);
  /** Refuses to wait for, or ask about, a stream that is recorded. */
  void forbid_for_captured(Stream& stream, const char* call);
  void record(Event& event, Stream& stream);
  void wait_event(Stream& stream, Event& event);

  // ---- errors ----
  /** What every call answers from now on; success while all is well. */
  CudaError error() const { return error_; }
  const std::string& violation() const { return violation_; }
  /** Notes the first thing that went wrong and drops all queued work. */
  void fail(CudaError error, const std::string& message);

  uint64_t random() { return random_(); }

 private:
  void drop_work();
  TokenPointer push(Stream& stream, std::shared_ptr<const Operation> operation, std::vector<TokenPointer> dependencies);
  void run(Stream& stream);
  /** Runs the next operation of the first stream where it may run. @returns false when there is none */
  bool run_first(const std::vector<Stream*>& candidates);
  /** The stream whose next operation has to run before the queued work of `token` can. */
  Stream* needed_for(const Token* token);
  void remove_finished_streams();
  bool may_run(const Stream& stream);
  Stream& add_stream(std::unique_ptr<Stream> stream);
  void add_node(Stream& stream, Operation operation);
  std::vector<Capture*> captures() const;

  const int index_;
  const SightlineEmulatorSettings settings_;
  std::recursive_mutex mutex_;
  DeviceMemory memory_;
  SightlineEmulatorCalls calls_{};
  std::mt19937_64 random_;
  /** The default stream is the first of them. */
  std::vector<std::unique_ptr<Stream>> streams_;
  Stream* default_stream_;
  int streams_made_ = 0;
  std::vector<std::unique_ptr<Event>> events_;
  std::vector<std::unique_ptr<Graph>> graphs_;
  std::vector<std::unique_ptr<GraphExecutable>> executables_;
  CudaError error_ = CudaError::success;
  std::string violation_;
};

}  // namespace sightline::emulator
