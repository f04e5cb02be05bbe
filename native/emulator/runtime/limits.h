#pragma once

#include <cstdint>

/** What an A100-SXM4-80GB (compute capability 8.0) has. Source: CUDA C++ Programming Guide, "Compute Capabilities". */
namespace sightline::emulator::limits {

constexpr uint32_t compute_major = 8, compute_minor = 0;
constexpr uint32_t multiprocessors = 108;
constexpr uint32_t threads_per_block = 1024, threads_per_multiprocessor = 2048, blocks_per_multiprocessor = 32;
constexpr uint32_t block_x = 1024, block_y = 1024, block_z = 64;
constexpr uint32_t grid_x = 2147483647, grid_y = 65535, grid_z = 65535;
constexpr uint32_t registers = 65536;
/** Without asking, after asking, of all blocks of a multiprocessor, taken of it by each block beside its own. */
constexpr uint32_t shared_bytes_per_block = 48 << 10, shared_bytes_per_block_opt_in = 163 << 10;
constexpr uint32_t shared_bytes_per_multiprocessor = 164 << 10, shared_bytes_reserved_per_block = 1 << 10;
constexpr uint32_t parameter_bytes = 4096;
constexpr uint32_t constant_bytes = 64 << 10;
constexpr uint32_t l2_bytes = 40 << 20;
constexpr uint32_t clock_khz = 1410000, memory_clock_khz = 1593000, memory_bus_bits = 5120;

}  // namespace sightline::emulator::limits
