#include "ops/profiler.h"

#include <cstring>
#include <utility>

namespace sightline {
namespace {

#define SIGHTLINE_PROFILED(name, Args)                                   \
  void profiled_##name(ExecutionContext& context, const Args& args) {    \
    Profiler& profiler = *context.profiler();                            \
    const int64_t start = profiler.now();                                \
    profiler.ops().name(context, args);                                  \
    profiler.add(Op::name, start, profiler.now(), work_of(args));        \
  }
SIGHTLINE_OPS(SIGHTLINE_PROFILED)
#undef SIGHTLINE_PROFILED

}  // namespace

const OpTable& profiling_ops() {
#define SIGHTLINE_PROFILED(name, Args) &profiled_##name,
  static constexpr OpTable ops{SIGHTLINE_OPS(SIGHTLINE_PROFILED)};
#undef SIGHTLINE_PROFILED
  return ops;
}

Profiler::Profiler(const OpTable& ops) : ops_(ops) {
  // Address space only until it is used, so that growing does not show up between ops.
  profile_.events.reserve(max_events);
  scope_named("none");
}

int64_t Profiler::now() const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start_).count();
}

int32_t Profiler::scope_named(const char* name) {
  for (size_t i = 0; i < scopes_.size(); ++i)
    if (std::strcmp(scopes_[i].totals.name, name) == 0) return static_cast<int32_t>(i);
  const auto scope = static_cast<int32_t>(scopes_.size());
  scopes_.push_back({{name, 0, 0, 0}, {}});
  for (int op = 0; op < op_count; ++op) scopes_.back().ops.push_back({static_cast<Op>(op), scope, 0, 0, 0, 0, 0});
  return scope;
}

size_t Profiler::add_event(const Profile::Event& event) {
  std::vector<Profile::Event>& events = profile_.events;
  if (events.size() == max_events) {
    ++profile_.events_left_out;
    return max_events;
  }
  events.push_back(event);
  return events.size() - 1;
}

void Profiler::add(Op op, int64_t start, int64_t end, const OpWork& work) {
  Scope& scope = scopes_[open_.empty() ? 0 : static_cast<size_t>(open_.back().scope)];
  Profile::OpTotals& totals = scope.ops[static_cast<size_t>(op)];
  ++totals.calls;
  totals.nanoseconds += end - start;
  totals.flops += work.flops;
  totals.bf16_flops += work.bf16_flops;
  totals.bytes += work.bytes;
  add_event({static_cast<int32_t>(op), start, end, work});
}

void Profiler::open(const char* name) {
  const int32_t scope = scope_named(name);
  const int64_t start = now();
  open_.push_back({scope, start, add_event({op_count + scope, start, start, {}})});
}

void Profiler::close() {
  const Open closing = open_.back();
  open_.pop_back();
  const int64_t end = now(), elapsed = end - closing.start;
  Profile::ScopeTotals& totals = scopes_[static_cast<size_t>(closing.scope)].totals;
  ++totals.calls;
  totals.nanoseconds += elapsed;
  if (open_.empty())
    profile_.busy_nanoseconds += elapsed;
  else
    scopes_[static_cast<size_t>(open_.back().scope)].totals.nested_nanoseconds += elapsed;
  if (closing.event < profile_.events.size()) profile_.events[closing.event].end = end;
}

Profile Profiler::finish() {
  profile_.nanoseconds = now();
  for (const Scope& scope : scopes_) {
    profile_.scopes.push_back(scope.totals);
    for (const Profile::OpTotals& totals : scope.ops)
      if (totals.calls > 0) profile_.ops.push_back(totals);
  }
  return std::move(profile_);
}

}  // namespace sightline
