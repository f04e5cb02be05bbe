#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/nccl_api.h"

namespace sightline::emulator {

using cuda::nccl::DataType;
using cuda::nccl::Reduction;

/** What a rank asks of a collective; all ranks must ask the same. */
struct CollectiveCall {
  enum class Kind { all_reduce, reduce_scatter, all_gather, broadcast };
  Kind kind;
  size_t count;
  DataType type;
  /** Of all_reduce and reduce_scatter; of broadcast. */
  Reduction reduction;
  int root;
  bool operator==(const CollectiveCall&) const = default;
};

/** E.g. "ncclAllReduce(count 128, type 7, reduction 0)". */
std::string describe(const CollectiveCall& call);
size_t bytes_of(DataType type);

/** Elements that one rank sends, and receives. */
size_t sent_count(const CollectiveCall& call, int ranks);
size_t received_count(const CollectiveCall& call, int ranks);

/** The meeting point of a communicator's ranks, one thread or process of theirs each. Thread-safe. */
class World {
 public:
  explicit World(int ranks) : ranks_(ranks), devices_(static_cast<size_t>(ranks), -1) {}

  int ranks() const { return ranks_; }

  /**
   * Waits until every rank has joined.
   * @returns what is wrong, or an empty text: a rank or a device that has joined already, ranks that do not come
   */
  std::string join(int rank, int device, int ranks, std::chrono::milliseconds deadline);

  /** Announces the rank's collective number `sequence`. @returns how it differs from what another rank announced, or nothing */
  std::string announce(size_t sequence, int rank, const CollectiveCall& call);

  /**
   * Hands in what the rank sends, once its stream has got there; later calls only ask.
   * @returns whether every rank has handed in. @throws DeviceFault when ranks are missing at the deadline, or another rank
   * failed
   */
  bool arrive(size_t sequence, int rank, const void* sent, std::chrono::milliseconds deadline);

  /** Computes what the rank receives; every rank must have arrived. Sums go in the order of ranks. */
  void receive(size_t sequence, int rank, void* received);

 private:
  struct Collective {
    CollectiveCall call;
    int announced_by;
    std::vector<std::vector<std::byte>> sent;
    std::vector<std::chrono::steady_clock::time_point> arrived_at;
    int arrived = 0, received = 0;
  };
  std::string missing_ranks(const std::vector<bool>& present) const;

  const int ranks_;
  std::mutex mutex_;
  std::condition_variable joined_;
  std::vector<int> devices_;
  int joined_count_ = 0;
  std::map<size_t, Collective> collectives_;
  /** Why this world is of no use any more. */
  std::string failure_;
};

}  // namespace sightline::emulator
