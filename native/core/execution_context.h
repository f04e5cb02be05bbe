#pragma once

namespace sightline {

class Profiler;

/** What an op runs with; each backend derives its own. One op runs at a time. */
class ExecutionContext {
 public:
  /** Whom the profiling ops tell; see ops/profiler.h. Null unless the device is being profiled. */
  Profiler* profiler() const { return profiler_; }
  void set_profiler(Profiler* profiler) { profiler_ = profiler; }

 protected:
  ExecutionContext() = default;
  ~ExecutionContext() = default;
  ExecutionContext(const ExecutionContext&) = delete;
  ExecutionContext& operator=(const ExecutionContext&) = delete;

 private:
  Profiler* profiler_ = nullptr;
};

}  // namespace sightline
