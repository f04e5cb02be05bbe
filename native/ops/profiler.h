#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "ops/op_table.h"
#include "ops/op_work.h"

namespace sightline {

/** What a device did while it was profiled. Times in nanoseconds. */
struct Profile {
  /** All calls of one op from within one scope. */
  struct OpTotals {
    Op op;
    int32_t scope;
    int64_t calls, nanoseconds, flops, bf16_flops, bytes;
  };

  /** All times that one scope was open. */
  struct ScopeTotals {
    const char* name;
    int64_t calls, nanoseconds;
    /** Of these, in scopes that were opened inside it. */
    int64_t nested_nanoseconds;
  };

  /** One call of an op, or one time that a scope was open; since the start of the profile. */
  struct Event {
    /** An op's number, or `op_count` plus a scope's. */
    int32_t kind;
    int64_t start, end;
    OpWork work;
  };

  /** From the start of the profile to its end. */
  int64_t nanoseconds = 0;
  /** Of these, in any scope: what is left is waiting. */
  int64_t busy_nanoseconds = 0;
  /** Exact, however many calls there were; ops that were not called are left out. */
  std::vector<OpTotals> ops;
  /** In the order in which they first opened; the first stands for no scope at all. */
  std::vector<ScopeTotals> scopes;
  /** In the order in which they started, a scope before what happened inside it; the first `max_events` of all. */
  std::vector<Event> events;
  int64_t events_left_out = 0;
};

/**
 * Records every op that a device runs, on the thread that calls the ops. It costs two readings of the clock and about a
 * hundred bytes per call, which the profile shows as time between ops; memory is bounded by `max_events`.
 */
class Profiler {
 public:
  /** Events kept: some updates of a small model, and as much as trace viewers take. */
  static constexpr size_t max_events = size_t{1} << 18;

  /** Starts a profile. @param ops  what `profiling_ops` passes calls on to */
  explicit Profiler(const OpTable& ops);
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  const OpTable& ops() const { return ops_; }
  /** Nanoseconds since the start, on a clock that never goes back. */
  int64_t now() const;
  void add(Op op, int64_t start, int64_t end, const OpWork& work);
  /** @param name  a string that outlives the process's profiles: a literal */
  void open(const char* name);
  /** Closes the scope opened last. */
  void close();
  /** The profile up to now; no scope may be open. The profiler is used up. */
  Profile finish();

 private:
  struct Scope {
    Profile::ScopeTotals totals;
    std::vector<Profile::OpTotals> ops;
  };
  struct Open {
    int32_t scope;
    int64_t start;
    /** Index of its event, or past the end where there was no room. */
    size_t event;
  };

  int32_t scope_named(const char* name);
  size_t add_event(const Profile::Event& event);

  const OpTable& ops_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::vector<Scope> scopes_;
  std::vector<Open> open_;
  Profile profile_;
};

/** Ops that do what those of `context.profiler()->ops()` do, and tell that profiler. */
const OpTable& profiling_ops();

}  // namespace sightline
