#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "emulator/runtime/api_types.h"

namespace sightline::emulator {

/** Marks a point in a stream's work: done once everything queued before it has run. */
struct Token {
  bool done = false;
  std::chrono::steady_clock::time_point time;
};
using TokenPointer = std::shared_ptr<Token>;

/** Memory that queued work refers to. A kernel's pointer is a range of one byte: what it points into. */
struct MemoryRange {
  const void* begin;
  size_t bytes;
};

/** One piece of work. */
struct Operation {
  /** As messages name it, e.g. "kernel rms_norm" or "cudaMemcpyAsync". */
  std::string name;
  /** What it does, if anything; a graph runs it at every launch. @throws DeviceFault, Violation */
  std::function<void()> run;
  /** Where work also waits for other devices: whether it may run now. Empty: always. @throws DeviceFault */
  std::function<bool()> ready;
  std::vector<MemoryRange> uses;
  /** The kernel's host function, or null: what tells two graphs apart beside the names. */
  const void* function = nullptr;
};

struct QueuedOperation {
  std::shared_ptr<const Operation> operation;
  /** What must be done first, beside the stream's earlier work. */
  std::vector<TokenPointer> dependencies;
  TokenPointer done;
};

struct Capture;

/** A queue of work, run front to back (cudaStream_t). */
struct Stream {
  int number = 0;
  /** Ordered against the default stream. */
  bool blocking = true;
  /** No longer a handle of the caller's: goes when its work is done. */
  bool destroyed = false;
  std::deque<QueuedOperation> queue;
  /** Of the work queued last; null before any. */
  TokenPointer last;
  /** While calls are recorded rather than queued: by whom, and the nodes that the next one follows. */
  std::shared_ptr<Capture> capture;
  std::vector<size_t> frontier;
};

/** cudaEvent_t */
struct Event {
  bool timing = true;
  /** Of the last record; null before the first. */
  TokenPointer token;
  /** Set instead when the last record was captured. */
  std::shared_ptr<Capture> capture;
  std::vector<size_t> nodes;
};

struct GraphNode {
  std::shared_ptr<const Operation> operation;
  std::vector<size_t> dependencies;
};

/** cudaGraph_t: operations and what each follows; a node's dependencies have smaller indices. */
struct Graph {
  std::vector<GraphNode> nodes;
};

/** cudaGraphExec_t */
struct GraphExecutable {
  Graph graph;
  /** Of its last launch: launches of one executable follow one another. */
  TokenPointer last;
};

/** A recording from cudaStreamBeginCapture to cudaStreamEndCapture, of one stream and those that it forks. */
struct Capture {
  Graph graph;
  Stream* origin = nullptr;
  CaptureMode mode = CaptureMode::global;
  std::thread::id thread;
  /** A call that may not be captured came; only cudaStreamEndCapture is left. */
  bool invalid = false;
};

}  // namespace sightline::emulator
