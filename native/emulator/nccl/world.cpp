#include "emulator/nccl/world.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "emulator/runtime/failure.h"
#include "emulator/runtime/runtime.h"

namespace sightline::emulator {
namespace {

/** bf16, rounded after every step as the library does. */
struct Bfloat16 {
  uint16_t bits;
  explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};
Bfloat16 round_to_bfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = value != value ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
  return {static_cast<uint16_t>(rounded >> 16)};
}

template <class Value>
Value combine(Value a, Value b, Reduction reduction) {
  switch (reduction) {
    case Reduction::max: return std::max(a, b);
    case Reduction::min: return std::min(a, b);
    default: return static_cast<Value>(a + b);
  }
}
Bfloat16 combine(Bfloat16 a, Bfloat16 b, Reduction reduction) {
  return round_to_bfloat16(combine(static_cast<float>(a), static_cast<float>(b), reduction));
}

template <class Value>
Value scaled(Value value, int ranks) {
  return static_cast<Value>(value * (Value{1} / static_cast<Value>(ranks)));
}
Bfloat16 scaled(Bfloat16 value, int ranks) { return round_to_bfloat16(scaled(static_cast<float>(value), ranks)); }

/** out[i] = the reduction over ranks of sent[rank][first + i]; an average scales before it sums. */
template <class Value>
void reduce(const std::vector<std::vector<std::byte>>& sent, size_t first, size_t count, Reduction reduction, void* out) {
  const auto value_of = [&](size_t rank, size_t i) {
    Value value;
    std::memcpy(&value, sent[rank].data() + (first + i) * sizeof(Value), sizeof value);
    return reduction == Reduction::average ? scaled(value, static_cast<int>(sent.size())) : value;
  };
  for (size_t i = 0; i < count; ++i) {
    Value sum = value_of(0, i);
    for (size_t rank = 1; rank < sent.size(); ++rank) sum = combine(sum, value_of(rank, i), reduction);
    std::memcpy(static_cast<std::byte*>(out) + i * sizeof(Value), &sum, sizeof sum);
  }
}

void reduce(const CollectiveCall& call, const std::vector<std::vector<std::byte>>& sent, size_t first, void* out) {
  switch (call.type) {
    case DataType::float32: return reduce<float>(sent, first, call.count, call.reduction, out);
    case DataType::float64: return reduce<double>(sent, first, call.count, call.reduction, out);
    case DataType::bfloat16: return reduce<Bfloat16>(sent, first, call.count, call.reduction, out);
    case DataType::int32: return reduce<int32_t>(sent, first, call.count, call.reduction, out);
    case DataType::int64: return reduce<int64_t>(sent, first, call.count, call.reduction, out);
    case DataType::int8: return reduce<int8_t>(sent, first, call.count, call.reduction, out);
    case DataType::uint8: return reduce<uint8_t>(sent, first, call.count, call.reduction, out);
  }
}

}  // namespace

std::string describe(const CollectiveCall& call) {
  const auto type = static_cast<int>(call.type), reduction = static_cast<int>(call.reduction);
  switch (call.kind) {
    case CollectiveCall::Kind::all_reduce:
      return concat("ncclAllReduce(count ", call.count, ", type ", type, ", reduction ", reduction, ")");
    case CollectiveCall::Kind::reduce_scatter:
      return concat("ncclReduceScatter(count ", call.count, ", type ", type, ", reduction ", reduction, ")");
    case CollectiveCall::Kind::all_gather: return concat("ncclAllGather(count ", call.count, ", type ", type, ")");
    case CollectiveCall::Kind::broadcast:
      return concat("ncclBroadcast(count ", call.count, ", type ", type, ", root ", call.root, ")");
  }
  return "";
}

size_t bytes_of(DataType type) {
  switch (type) {
    case DataType::int8:
    case DataType::uint8: return 1;
    case DataType::bfloat16: return 2;
    case DataType::int32:
    case DataType::float32: return 4;
    case DataType::int64:
    case DataType::float64: return 8;
  }
  return 0;
}

size_t sent_count(const CollectiveCall& call, int ranks) {
  return call.kind == CollectiveCall::Kind::reduce_scatter ? call.count * static_cast<size_t>(ranks) : call.count;
}

size_t received_count(const CollectiveCall& call, int ranks) {
  return call.kind == CollectiveCall::Kind::all_gather ? call.count * static_cast<size_t>(ranks) : call.count;
}

std::string World::missing_ranks(const std::vector<bool>& present) const {
  std::string names;
  for (size_t rank = 0; rank < present.size(); ++rank)
    if (!present[rank]) names += concat(names.empty() ? "" : ", ", rank);
  return names;
}

std::string World::join(int rank, int device, int ranks, std::chrono::milliseconds deadline) {
  std::unique_lock lock(mutex_);
  if (ranks != ranks_) return concat("rank ", rank, " expects ", ranks, " ranks, another one ", ranks_);
  if (devices_[static_cast<size_t>(rank)] >= 0) return concat("rank ", rank, " has joined already");
  const auto taken = std::ranges::find(devices_, device);
  if (taken != devices_.end()) return concat("device ", device, " is rank ", taken - devices_.begin(), "'s already");
  devices_[static_cast<size_t>(rank)] = device;
  ++joined_count_;
  joined_.notify_all();
  if (joined_.wait_for(lock, deadline, [&] { return joined_count_ == ranks_; })) return "";
  std::vector<bool> present;
  for (const int joined : devices_) present.push_back(joined >= 0);
  return concat("rank ", rank, " waited ", deadline.count(), " ms in ncclCommInitRank for ranks ", missing_ranks(present));
}

std::string World::announce(size_t sequence, int rank, const CollectiveCall& call) {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) return failure_;
  const auto [entry, is_first] = collectives_.try_emplace(sequence, Collective{call, rank, {}, {}});
  Collective& collective = entry->second;
  if (is_first) {
    collective.sent.resize(static_cast<size_t>(ranks_));
    collective.arrived_at.resize(static_cast<size_t>(ranks_));
  } else if (collective.call != call) {
    failure_ = concat("collective ", sequence, ": rank ", rank, " calls ", describe(call), ", rank ", collective.announced_by,
                      " called ", describe(collective.call));
    Runtime::instance().announce_progress();
  }
  return failure_;
}

bool World::arrive(size_t sequence, int rank, const void* sent, std::chrono::milliseconds deadline) {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) fault(CudaError::launch_failure, failure_);
  Collective& collective = collectives_.at(sequence);
  const auto now = std::chrono::steady_clock::now();
  auto& arrived_at = collective.arrived_at[static_cast<size_t>(rank)];
  if (arrived_at == std::chrono::steady_clock::time_point{}) {
    arrived_at = now;
    const auto* first = static_cast<const std::byte*>(sent);
    collective.sent[static_cast<size_t>(rank)].assign(
        first, first + sent_count(collective.call, ranks_) * bytes_of(collective.call.type));
    if (++collective.arrived == ranks_) Runtime::instance().announce_progress();
  }
  if (collective.arrived == ranks_) return true;
  if (now - arrived_at > deadline) {
    std::vector<bool> present;
    for (const auto& time : collective.arrived_at) present.push_back(time != std::chrono::steady_clock::time_point{});
    failure_ = concat("collective ", sequence, ": rank ", rank, " waited ", deadline.count(), " ms in ",
                      describe(collective.call), " for ranks ", missing_ranks(present));
    Runtime::instance().announce_progress();
    fault(CudaError::launch_failure, failure_);
  }
  return false;
}

void World::receive(size_t sequence, int rank, void* received) {
  std::unique_lock lock(mutex_);
  Collective& collective = collectives_.at(sequence);
  lock.unlock();  // what was sent does not change any more, and nobody erases it before this rank is done
  const CollectiveCall& call = collective.call;
  const size_t bytes = call.count * bytes_of(call.type);
  switch (call.kind) {
    case CollectiveCall::Kind::all_reduce: reduce(call, collective.sent, 0, received); break;
    case CollectiveCall::Kind::reduce_scatter:
      reduce(call, collective.sent, static_cast<size_t>(rank) * call.count, received);
      break;
    case CollectiveCall::Kind::all_gather:
      for (size_t from = 0; from < collective.sent.size(); ++from)
        std::memcpy(static_cast<std::byte*>(received) + from * bytes, collective.sent[from].data(), bytes);
      break;
    case CollectiveCall::Kind::broadcast:
      std::memcpy(received, collective.sent[static_cast<size_t>(call.root)].data(), bytes);
      break;
  }
  lock.lock();
  if (++collective.received == ranks_) collectives_.erase(sequence);
}

}  // namespace sightline::emulator
