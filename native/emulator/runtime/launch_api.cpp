// Kernel launches of the CUDA runtime: limits as on an A100, then the PTX interpreter.
#include <algorithm>
#include <cstring>
#include <vector>

#include "emulator/ptx/interpreter.h"
#include "emulator/runtime/api.h"
#include "emulator/runtime/limits.h"
#include "emulator/runtime/modules.h"
#include "emulator/runtime/runtime.h"

using namespace sightline::emulator;

namespace {

/** A launch's arguments, copied when it is queued. */
struct Arguments {
  std::vector<std::byte> bytes;
  std::vector<const void*> pointers;
};

void require_configuration(const Kernel& kernel, const CudaDim3& grid, const CudaDim3& block) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > limits::grid_x || grid.y > limits::grid_y ||
      grid.z > limits::grid_z) {
    refuse(CudaError::invalid_configuration, "kernel ", kernel.name, ": grid: expected 1 to ", limits::grid_x, " x ",
           limits::grid_y, " x ", limits::grid_z, " blocks, received ", grid.x, " x ", grid.y, " x ", grid.z);
  }
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > limits::threads_per_block || block.x > limits::block_x || block.y > limits::block_y ||
      block.z > limits::block_z) {
    refuse(CudaError::invalid_configuration, "kernel ", kernel.name, ": block: expected 1 to ", limits::threads_per_block,
           " threads, z at most ", limits::block_z, ", received ", block.x, " x ", block.y, " x ", block.z);
  }
  if (kernel.max_threads != 0 && threads > kernel.max_threads) {
    refuse(CudaError::invalid_value, "kernel ", kernel.name, ": block: its launch bounds allow ", kernel.max_threads,
           " threads, received ", threads);
  }
}

Arguments copy_arguments(const Kernel& kernel, const void* const* arguments) {
  Arguments copied;
  if (kernel.parameters.empty()) return copied;
  if (arguments == nullptr) refuse(CudaError::invalid_value, "kernel ", kernel.name, ": arguments are null");
  copied.bytes.resize(kernel.parameter_bytes);
  for (size_t index = 0; index < kernel.parameters.size(); ++index) {
    const Parameter& parameter = kernel.parameters[index];
    std::memcpy(copied.bytes.data() + parameter.offset, arguments[index], parameter.bytes);
    copied.pointers.push_back(copied.bytes.data() + parameter.offset);
  }
  return copied;
}

/** Every argument, or member of one, that points into device memory. */
std::vector<MemoryRange> find_uses(const DeviceMemory& memory, const Arguments& arguments) {
  std::vector<MemoryRange> uses;
  for (size_t at = 0; at + sizeof(void*) <= arguments.bytes.size(); at += sizeof(void*)) {
    const void* pointer;
    std::memcpy(&pointer, arguments.bytes.data() + at, sizeof pointer);
    if (memory.holds(pointer)) uses.push_back({pointer, 1});
  }
  return uses;
}

Checks checks_of(Device& device) {
  const SightlineEmulatorSettings& settings = device.settings();
  Checks checks;
  checks.seed = device.random();
  checks.random_interleaving = settings.random_interleaving != 0;
  checks.async_copies = static_cast<CopyTime>(settings.async_copies);
  checks.races = checks.initialisation = settings.checks != 0;
  checks.count_traffic = settings.count_traffic != 0;
  return checks;
}

void launch(Device& device, const void* function, CudaDim3 grid, CudaDim3 block, const void* const* arguments,
            size_t dynamic_shared_bytes, Stream* stream) {
  const auto [host, kernel] = Modules::instance().find(function);
  require_configuration(*kernel, grid, block);
  if (dynamic_shared_bytes > static_cast<size_t>(host->max_dynamic_shared_bytes)) {
    refuse(CudaError::invalid_value, "kernel ", kernel->name, ": dynamic shared memory: expected at most ",
           host->max_dynamic_shared_bytes, " bytes, received ", dynamic_shared_bytes,
           "; more than 48 KiB must be asked for with cudaFuncSetAttribute, 163 KiB is the most");
  }
  ++device.calls().kernel_launches;
  auto copied = std::make_shared<const Arguments>(copy_arguments(*kernel, arguments));
  Launch prepared{.grid = {grid.x, grid.y, grid.z},
                  .block = {block.x, block.y, block.z},
                  .dynamic_shared_bytes = static_cast<uint32_t>(dynamic_shared_bytes),
                  .arguments = copied->pointers.data()};
  device.submit(device.stream(stream), {.name = "kernel " + kernel->name,
                                        .run =
                                            [&device, kernel, prepared, copied] {
                                              const Traffic traffic =
                                                  execute(*kernel, prepared, device.memory().global(), checks_of(device),
                                                          std::max(1, device.settings().interpreter_threads));
                                              Runtime::instance().count(kernel->name, traffic);
                                            },
                                        .ready = {},
                                        .uses = find_uses(device.memory(), *copied),
                                        .function = function});
}

}  // namespace

namespace sightline::emulator {

SIGHTLINE_EMULATOR_API CudaError cudaLaunchKernel(const void* function, CudaDim3 grid, CudaDim3 block, void** arguments,
                                                  size_t dynamic_shared_bytes, Stream* stream) {
  return on_device([&](Device& device) { launch(device, function, grid, block, arguments, dynamic_shared_bytes, stream); });
}

SIGHTLINE_EMULATOR_API CudaError cudaLaunchKernelExC(const LaunchConfiguration* configuration, const void* function,
                                                     void** arguments) {
  return on_device([&](Device& device) {
    if (configuration->attribute_count != 0) {
      refuse(CudaError::not_supported, "cudaLaunchKernelExC: the emulator knows no launch attributes");
    }
    launch(device, function, configuration->grid, configuration->block, arguments, configuration->dynamic_shared_bytes,
           configuration->stream);
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaFuncSetAttribute(const void* function, FunctionAttribute attribute, int value) {
  return on_device([&](Device&) {
    const auto [host, kernel] = Modules::instance().find(function);
    if (attribute == FunctionAttribute::preferred_shared_carveout) return;
    if (attribute != FunctionAttribute::max_dynamic_shared_bytes) {
      refuse(CudaError::invalid_value, "cudaFuncSetAttribute: the emulator does not know attribute ",
             static_cast<int>(attribute));
    }
    const int most = static_cast<int>(limits::shared_bytes_per_block_opt_in - kernel->static_shared_bytes);
    if (value < 0 || value > most) {
      refuse(CudaError::invalid_value, "cudaFuncSetAttribute: kernel ", kernel->name, ": expected 0 to ", most,
             " bytes of dynamic shared memory, received ", value);
    }
    host->max_dynamic_shared_bytes = value;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaFuncGetAttributes(FunctionAttributes* attributes, const void* function) {
  return on_device([&](Device&) {
    const auto [host, kernel] = Modules::instance().find(function);
    *attributes = {};
    attributes->static_shared_bytes = kernel->static_shared_bytes;
    attributes->max_threads_per_block =
        static_cast<int>(kernel->max_threads != 0 ? kernel->max_threads : limits::threads_per_block);
    attributes->ptx_version = attributes->binary_version = 80;
    attributes->max_dynamic_shared_bytes = host->max_dynamic_shared_bytes;
  });
}

/** By threads and shared memory; the registers of a kernel are only known to ptxas. */
SIGHTLINE_EMULATOR_API CudaError cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function,
                                                                                        int threads,
                                                                                        size_t dynamic_shared_bytes, unsigned) {
  return on_device([&](Device&) {
    const auto [host, kernel] = Modules::instance().find(function);
    if (threads < 1 || blocks == nullptr) refuse(CudaError::invalid_value, "cudaOccupancy: expected at least 1 thread");
    *blocks = 0;
    if (dynamic_shared_bytes > static_cast<size_t>(host->max_dynamic_shared_bytes)) return;
    const uint64_t warps = (static_cast<uint64_t>(threads) + 31) / 32;
    const uint64_t shared = kernel->static_shared_bytes + dynamic_shared_bytes + limits::shared_bytes_reserved_per_block;
    *blocks =
        static_cast<int>(std::min({uint64_t{limits::blocks_per_multiprocessor}, limits::threads_per_multiprocessor / 32 / warps,
                                   limits::shared_bytes_per_multiprocessor / shared}));
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                                               size_t dynamic_shared_bytes) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, dynamic_shared_bytes, 0);
}

}  // namespace sightline::emulator
