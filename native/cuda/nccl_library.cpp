#include "cuda/nccl_library.h"

#include "cuda/dynamic_library.h"

namespace sightline::cuda::nccl {
namespace {

Functions load() {
  const DynamicLibrary library({.name = "NCCL",
                                .variable = "SIGHTLINE_NCCL",
                                .files = {"libnccl.so.2"},
                                .advice = "Training on several GPUs needs it. It is in NVIDIA's package libnccl2, or comes "
                                          "with `pip install nvidia-nccl-cu13`; its folder must be in LD_LIBRARY_PATH."});
  Functions table{};
  library.resolve("ncclGetVersion", table.get_version);
  library.resolve("ncclGetUniqueId", table.get_unique_id);
  library.resolve("ncclCommInitRank", table.comm_init_rank);
  library.resolve("ncclCommDestroy", table.comm_destroy);
  library.resolve("ncclCommAbort", table.comm_abort);
  library.resolve("ncclCommGetAsyncError", table.comm_get_async_error);
  library.resolve("ncclAllReduce", table.all_reduce);
  library.resolve("ncclReduceScatter", table.reduce_scatter);
  library.resolve("ncclAllGather", table.all_gather);
  library.resolve("ncclBroadcast", table.broadcast);
  library.resolve("ncclGroupStart", table.group_start);
  library.resolve("ncclGroupEnd", table.group_end);
  library.resolve("ncclGetErrorString", table.get_error_string);
  library.resolve("ncclGetLastError", table.get_last_error);
  return table;
}

}  // namespace

const Functions& functions() {
  static const Functions table = load();  // throwing leaves it unset, so that the next call tries again
  return table;
}

}  // namespace sightline::cuda::nccl
