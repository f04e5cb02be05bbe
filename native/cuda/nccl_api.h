#pragma once

#include <cstddef>

struct CUstream_st;

/**
 * The part of NCCL that the backend calls, declared anew so that neither building nor loading it needs the library. Names
 * are NCCL's without their prefix. A test compares the values with the real header where it is found.
 * Source: NCCL documentation, "NCCL API".
 */
namespace sightline::cuda::nccl {

enum class Result : int {
  success = 0,
  unhandled_cuda_error = 1,
  system_error = 2,
  internal_error = 3,
  invalid_argument = 4,
  invalid_usage = 5,
  remote_error = 6,
  in_progress = 7
};

/** ncclDataType_t */
enum class DataType : int { int8 = 0, uint8 = 1, int32 = 2, int64 = 4, float32 = 7, float64 = 8, bfloat16 = 9 };
/** ncclRedOp_t */
enum class Reduction : int { sum = 0, max = 2, min = 3, average = 4 };

/** ncclUniqueId: rank 0 makes one and hands it to the others. */
struct UniqueId {
  char internal[128];
};

struct Communicator;

/** The functions, by the names that they have in the library without "nccl". Counts are in elements. */
struct Functions {
  Result (*get_version)(int* version);
  Result (*get_unique_id)(UniqueId* id);
  Result (*comm_init_rank)(Communicator** communicator, int ranks, UniqueId id, int rank);
  Result (*comm_destroy)(Communicator* communicator);
  Result (*comm_abort)(Communicator* communicator);
  Result (*comm_get_async_error)(Communicator* communicator, Result* error);
  Result (*all_reduce)(const void* send, void* receive, size_t count, DataType type, Reduction reduction,
                       Communicator* communicator, CUstream_st* stream);
  /** `count` is that of what each rank receives. */
  Result (*reduce_scatter)(const void* send, void* receive, size_t count, DataType type, Reduction reduction,
                           Communicator* communicator, CUstream_st* stream);
  /** `count` is that of what each rank sends. */
  Result (*all_gather)(const void* send, void* receive, size_t count, DataType type, Communicator* communicator,
                       CUstream_st* stream);
  Result (*broadcast)(const void* send, void* receive, size_t count, DataType type, int root, Communicator* communicator,
                      CUstream_st* stream);
  Result (*group_start)();
  Result (*group_end)();
  const char* (*get_error_string)(Result result);
  /** What the last failure on this communicator was, in words. */
  const char* (*get_last_error)(Communicator* communicator);
};

}  // namespace sightline::cuda::nccl
