#include "emulator/ptx/interpreter.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>

#include "core/thread_pool.h"
#include "emulator/ptx/block.h"

namespace sightline::emulator {
namespace {

/** Limits of an sm_80 GPU. */
constexpr uint64_t max_block_threads = 1024, max_block_z = 64, max_shared_bytes = 163 * 1024, max_grid_x = 0x7fffffff,
                   max_grid_yz = 65535;

void check_launch(const Kernel& kernel, const Launch& launch, int threads) {
  const Dim3 grid = launch.grid, block = launch.block;
  require(threads >= 1 && threads <= max_threads, "threads: expected 1 to ", max_threads, ", received ", threads);
  require(grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= max_grid_x && grid.y <= max_grid_yz && grid.z <= max_grid_yz,
          "grid: expected 1 to ", max_grid_x, " x ", max_grid_yz, " x ", max_grid_yz, " blocks, received ", grid.x, " x ", grid.y,
          " x ", grid.z);
  const uint64_t block_threads = uint64_t{block.x} * block.y * block.z;
  const uint64_t limit = kernel.max_threads ? std::min<uint64_t>(kernel.max_threads, max_block_threads) : max_block_threads;
  require(block_threads >= 1 && block_threads <= limit && block.z <= max_block_z, "block: ", kernel.name, " takes 1 to ", limit,
          " threads, received ", block.x, " x ", block.y, " x ", block.z);
  const uint64_t shared = uint64_t{launch.dynamic_shared_bytes} +
                          (launch.dynamic_shared_bytes ? kernel.dynamic_shared_offset : kernel.static_shared_bytes);
  require(shared <= max_shared_bytes, "dynamic_shared_bytes: ", kernel.name, " would use ", shared,
          " bytes of shared memory, a block has ", max_shared_bytes);
  require(kernel.parameters.empty() || launch.arguments, "arguments: expected ", kernel.parameters.size(), " pointers");
}

}  // namespace

Traffic execute(const Kernel& kernel, const Launch& launch, GlobalMemory& memory, const Checks& checks, int threads) {
  check_launch(kernel, launch, threads);
  const LaunchContext context(kernel, launch, memory, checks);
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const int workers = static_cast<int>(std::min<uint64_t>(static_cast<uint64_t>(threads), blocks));

  // Blocks are claimed in order, so those before the first failing one all run: what is reported does not depend on the threads.
  std::atomic<uint64_t> next{0}, first_failing{std::numeric_limits<uint64_t>::max()};
  std::mutex mutex;
  std::vector<Finding> findings;
  Traffic traffic;
  const auto work = [&](int64_t, int) {
    Block block(context);
    for (uint64_t index = next++; index < blocks && index < first_failing; index = next++) {
      block.run(index);
      if (block.findings().empty()) continue;
      const std::lock_guard lock(mutex);
      if (index >= first_failing) continue;
      first_failing = index;
      findings = block.findings().take();
    }
    const std::lock_guard lock(mutex);
    traffic += block.traffic();
  };
  if (workers == 1) {
    work(0, 0);
  } else {
    ThreadPool pool(workers);
    pool.parallel_for(workers, work);
  }
  if (!findings.empty()) throw Violation(std::move(findings));
  return traffic;
}

}  // namespace sightline::emulator
