// Holds our declarations of NCCL against the real ones. Compiled by libraries.test.ts, never linked.
#include <nccl.h>

#include <type_traits>

#include "cuda/nccl_api.h"

namespace ours = sightline::cuda::nccl;

#define SAME(a, b) static_assert(static_cast<int>(a) == static_cast<int>(b))
SAME(ours::Result::success, ncclSuccess);
SAME(ours::Result::unhandled_cuda_error, ncclUnhandledCudaError);
SAME(ours::Result::system_error, ncclSystemError);
SAME(ours::Result::internal_error, ncclInternalError);
SAME(ours::Result::invalid_argument, ncclInvalidArgument);
SAME(ours::Result::invalid_usage, ncclInvalidUsage);
SAME(ours::Result::remote_error, ncclRemoteError);
SAME(ours::Result::in_progress, ncclInProgress);
SAME(ours::DataType::int8, ncclInt8);
SAME(ours::DataType::uint8, ncclUint8);
SAME(ours::DataType::int32, ncclInt32);
SAME(ours::DataType::int64, ncclInt64);
SAME(ours::DataType::float32, ncclFloat32);
SAME(ours::DataType::float64, ncclFloat64);
SAME(ours::DataType::bfloat16, ncclBfloat16);
SAME(ours::Reduction::sum, ncclSum);
SAME(ours::Reduction::max, ncclMax);
SAME(ours::Reduction::min, ncclMin);
SAME(ours::Reduction::average, ncclAvg);
static_assert(sizeof(ours::UniqueId) == sizeof(ncclUniqueId));

/** Whether two functions take as many arguments, each of the same size, and return the same size. */
template <class A, class B>
struct SameCall : std::false_type {};
template <class R, class... A, class S, class... B>
  requires(sizeof...(A) == sizeof...(B))
struct SameCall<R (*)(A...), S (*)(B...)> : std::bool_constant<sizeof(R) == sizeof(S) && (... && (sizeof(A) == sizeof(B)))> {};
#define SAME_CALL(member, function) static_assert(SameCall<decltype(ours::Functions::member), decltype(&function)>::value)
SAME_CALL(get_version, ncclGetVersion);
SAME_CALL(get_unique_id, ncclGetUniqueId);
SAME_CALL(comm_init_rank, ncclCommInitRank);
SAME_CALL(comm_destroy, ncclCommDestroy);
SAME_CALL(comm_abort, ncclCommAbort);
SAME_CALL(comm_get_async_error, ncclCommGetAsyncError);
SAME_CALL(all_reduce, ncclAllReduce);
SAME_CALL(reduce_scatter, ncclReduceScatter);
SAME_CALL(all_gather, ncclAllGather);
SAME_CALL(broadcast, ncclBroadcast);
SAME_CALL(group_start, ncclGroupStart);
SAME_CALL(group_end, ncclGroupEnd);
SAME_CALL(get_error_string, ncclGetErrorString);
SAME_CALL(get_last_error, ncclGetLastError);
