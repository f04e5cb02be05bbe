// NCCL between rank threads of one process, each with a device of its own.
#include <atomic>
#include <cstring>

#include "emulator/nccl/world.h"
#include "emulator/runtime/runtime.h"

using namespace sightline::emulator;
using sightline::cuda::nccl::Result;
using sightline::cuda::nccl::UniqueId;

namespace sightline::cuda::nccl {

struct Communicator {
  std::shared_ptr<World> world;
  int rank, device;
  /** Of the next collective. */
  size_t sequence = 0;
  /** Of the last one: collectives of a communicator follow one another, whatever their streams. */
  TokenPointer last;
  std::atomic<bool> aborted = false;
  std::atomic<Result> error = Result::success;
  std::string message;
};

}  // namespace sightline::cuda::nccl

using sightline::cuda::nccl::Communicator;

namespace {

/** Worlds by the text of their id, while some rank knows them. */
struct Worlds {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<World>> by_id;
};
Worlds& worlds() {
  static Worlds& all = *new Worlds;
  return all;
}

int& group_depth() {
  thread_local int depth = 0;
  return depth;
}

Result refuse_call(Communicator* communicator, Result result, const std::string& message) {
  thread_state().refusal = message;
  if (communicator != nullptr) communicator->message = message;
  return result;
}

std::chrono::milliseconds deadline() {
  return std::chrono::milliseconds(Runtime::instance().settings().collective_deadline_ms);
}

void require_device_memory(Device& device, const std::string& call, const char* name, const void* pointer, size_t bytes,
                           bool initialised) {
  const GlobalMemory& memory = device.memory().global();
  if (!memory.contains(pointer, bytes)) {
    fault(CudaError::illegal_address, call, ": out_of_bounds: ", name, ": expected ", bytes,
          " bytes within one allocation of the device");
  }
  if (initialised && device.settings().checks && !memory.is_initialised(pointer, bytes)) {
    fault(CudaError::launch_failure, call, ": uninitialised: ", name, " has elements that nobody has written");
  }
}

/** What a collective does on its stream: hands in what it sends, waits without blocking other streams, takes what it receives.
 */
Operation collective(Device& device, std::shared_ptr<Communicator> communicator, size_t sequence, const CollectiveCall& call,
                     const void* send, void* receive) {
  const size_t sent = sent_count(call, communicator->world->ranks()) * bytes_of(call.type);
  const size_t received = received_count(call, communicator->world->ranks()) * bytes_of(call.type);
  // Only the root's send buffer of a broadcast is read.
  const bool sends = call.kind != CollectiveCall::Kind::broadcast || call.root == communicator->rank;
  const void* from = sends ? send : receive;
  return {.name = describe(call),
          .run =
              [=, &device] {
                if (communicator->aborted) return;
                require_device_memory(device, describe(call), "receive buffer", receive, received, false);
                communicator->world->receive(sequence, communicator->rank, receive);
                device.memory().global().mark_initialised(receive, received);
              },
          .ready =
              [=, &device] {
                if (communicator->aborted) return true;
                try {
                  require_device_memory(device, describe(call), sends ? "send buffer" : "receive buffer", from, sent, sends);
                  return communicator->world->arrive(sequence, communicator->rank, from, deadline());
                } catch (const DeviceFault& fault) {
                  communicator->message = fault.message;
                  communicator->error = Result::remote_error;
                  throw;
                }
              },
          .uses = {{from, sent}, {receive, received}}};
}

/** Communicators that calls may name. */
struct Handles {
  std::mutex mutex;
  std::map<Communicator*, std::shared_ptr<Communicator>> live;
};
Handles& handles() {
  static Handles& all = *new Handles;
  return all;
}
std::shared_ptr<Communicator> find(Communicator* handle) {
  const std::lock_guard lock(handles().mutex);
  const auto found = handles().live.find(handle);
  return found == handles().live.end() ? nullptr : found->second;
}

Result enqueue(const CollectiveCall& call, const void* send, void* receive, Communicator* handle, Stream* stream) {
  const std::shared_ptr<Communicator> communicator = find(handle);
  if (!communicator) return refuse_call(nullptr, Result::invalid_argument, describe(call) + ": no such communicator");
  const bool reduces = call.kind == CollectiveCall::Kind::all_reduce || call.kind == CollectiveCall::Kind::reduce_scatter;
  const bool is_integer = call.type != DataType::float32 && call.type != DataType::float64 && call.type != DataType::bfloat16;
  if (bytes_of(call.type) == 0 || (reduces && is_integer && call.reduction == Reduction::average) || call.root < 0 ||
      call.root >= communicator->world->ranks()) {
    return refuse_call(handle, Result::invalid_argument, describe(call) + ": a type, reduction or root that is not supported");
  }
  if (call.count == 0) return Result::success;
  if (receive == nullptr ||
      (send == nullptr && (call.kind != CollectiveCall::Kind::broadcast || call.root == communicator->rank))) {
    return refuse_call(handle, Result::invalid_argument, describe(call) + ": a buffer is null");
  }
  if (Runtime::instance().current_index() != communicator->device) {
    return refuse_call(handle, Result::invalid_usage,
                       sightline::concat(describe(call), ": the current device is ", Runtime::instance().current_index(),
                                         ", the communicator's ", communicator->device));
  }
  const size_t sequence = communicator->sequence++;
  const std::string difference = communicator->world->announce(sequence, communicator->rank, call);
  if (!difference.empty()) {
    communicator->error = Result::invalid_usage;
    return refuse_call(handle, Result::invalid_usage, difference);
  }
  const CudaError error = on_device([&](Device& device) {
    std::vector<TokenPointer> earlier;
    if (communicator->last) earlier.push_back(communicator->last);
    communicator->last =
        device.submit(device.stream(stream), collective(device, communicator, sequence, call, send, receive), earlier);
  });
  return error == CudaError::success ? Result::success : Result::unhandled_cuda_error;
}

}  // namespace

SIGHTLINE_EMULATOR_API Result ncclGetVersion(int* version) {
  *version = 22700;
  return Result::success;
}

SIGHTLINE_EMULATOR_API Result ncclGetUniqueId(UniqueId* id) {
  static std::atomic<int> made = 0;
  std::memset(id, 0, sizeof *id);
  const std::string text = sightline::concat("emulated world ", ++made);
  std::memcpy(id->internal, text.data(), text.size());
  return Result::success;
}

SIGHTLINE_EMULATOR_API Result ncclCommInitRank(Communicator** communicator, int ranks, UniqueId id, int rank) {
  if (communicator == nullptr || ranks < 1 || rank < 0 || rank >= ranks) {
    return refuse_call(nullptr, Result::invalid_argument, sightline::concat("ncclCommInitRank: rank ", rank, " of ", ranks));
  }
  std::shared_ptr<World> world;
  {
    const std::lock_guard lock(worlds().mutex);
    std::weak_ptr<World>& known = worlds().by_id[std::string(id.internal, strnlen(id.internal, sizeof id.internal))];
    world = known.lock();
    if (!world) known = world = std::make_shared<World>(ranks);
  }
  const int device = Runtime::instance().current_index();
  const std::string problem = world->join(rank, device, ranks, deadline());
  if (!problem.empty()) return refuse_call(nullptr, Result::invalid_usage, problem);
  auto made = std::make_shared<Communicator>();
  made->world = std::move(world);
  made->rank = rank;
  made->device = device;
  *communicator = made.get();
  const std::lock_guard lock(handles().mutex);
  handles().live.emplace(made.get(), std::move(made));
  return Result::success;
}

SIGHTLINE_EMULATOR_API Result ncclCommDestroy(Communicator* communicator) {
  const std::lock_guard lock(handles().mutex);
  return handles().live.erase(communicator) == 1 ? Result::success : Result::invalid_argument;
}

/** Queued collectives of the communicator do nothing from now on. */
SIGHTLINE_EMULATOR_API Result ncclCommAbort(Communicator* communicator) {
  if (const auto found = find(communicator)) found->aborted = true;
  return ncclCommDestroy(communicator);
}

SIGHTLINE_EMULATOR_API Result ncclCommGetAsyncError(Communicator* communicator, Result* error) {
  const auto found = find(communicator);
  if (!found) return Result::invalid_argument;
  *error = found->error;
  return Result::success;
}

SIGHTLINE_EMULATOR_API Result ncclAllReduce(const void* send, void* receive, size_t count, DataType type, Reduction reduction,
                                            Communicator* communicator, Stream* stream) {
  return enqueue({CollectiveCall::Kind::all_reduce, count, type, reduction, 0}, send, receive, communicator, stream);
}

SIGHTLINE_EMULATOR_API Result ncclReduceScatter(const void* send, void* receive, size_t count, DataType type,
                                                Reduction reduction, Communicator* communicator, Stream* stream) {
  return enqueue({CollectiveCall::Kind::reduce_scatter, count, type, reduction, 0}, send, receive, communicator, stream);
}

SIGHTLINE_EMULATOR_API Result ncclAllGather(const void* send, void* receive, size_t count, DataType type,
                                            Communicator* communicator, Stream* stream) {
  return enqueue({CollectiveCall::Kind::all_gather, count, type, Reduction::sum, 0}, send, receive, communicator, stream);
}

SIGHTLINE_EMULATOR_API Result ncclBroadcast(const void* send, void* receive, size_t count, DataType type, int root,
                                            Communicator* communicator, Stream* stream) {
  return enqueue({CollectiveCall::Kind::broadcast, count, type, Reduction::sum, root}, send, receive, communicator, stream);
}

// Calls of a group go out as they come: each thread has one device, so there is nothing to gather.
SIGHTLINE_EMULATOR_API Result ncclGroupStart() {
  ++group_depth();
  return Result::success;
}

SIGHTLINE_EMULATOR_API Result ncclGroupEnd() {
  if (group_depth() == 0) return refuse_call(nullptr, Result::invalid_usage, "ncclGroupEnd: no group has been started");
  --group_depth();
  return Result::success;
}

SIGHTLINE_EMULATOR_API const char* ncclGetErrorString(Result result) {
  switch (result) {
    case Result::success: return "no error";
    case Result::unhandled_cuda_error: return "unhandled cuda error";
    case Result::system_error: return "unhandled system error";
    case Result::internal_error: return "internal error";
    case Result::invalid_argument: return "invalid argument";
    case Result::invalid_usage: return "invalid usage";
    case Result::remote_error: return "remote process exited or there was a network error";
    case Result::in_progress: return "NCCL operation in progress";
  }
  return "unknown result code";
}

SIGHTLINE_EMULATOR_API const char* ncclGetLastError(Communicator* communicator) {
  const auto found = find(communicator);
  return found ? found->message.c_str() : thread_state().refusal.c_str();
}
