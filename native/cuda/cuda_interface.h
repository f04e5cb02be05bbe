#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/gpu_bench.h"
#include "ops/device.h"

namespace sightline::cuda {

/** The oldest GPUs that the kernels run on: Ampere. */
inline constexpr int oldest_compute_capability = 80;

struct Gpu {
  std::string name;
  /** 10 * major + minor. */
  int compute_capability;
  int64_t memory_bytes;
};

/** What the library finds on this machine. */
struct Findings {
  /** 1000 * major + 10 * minor, of CUDA: what the driver supports (0: there is none), what the library was built with. */
  int driver_version = 0, runtime_version = 0;
  std::vector<Gpu> gpus;
  /** What is missing, each with the way out; empty where every GPU can be used. */
  std::vector<std::string> problems;
};

/**
 * What the CUDA backend, a library of its own, gives to the engine. It is opened at run time; both must have been built from
 * the same sources, since they share the classes of `core` and `ops`.
 */
struct Interface {
  Findings (*probe)();
  /** @param gpu  index into the GPUs that were found @throws Error unsupported with what is missing; out_of_memory */
  std::unique_ptr<Device> (*create)(int gpu, Precision precision, size_t memory_limit_bytes);
  /** @param device  one that `create` made; must outlive what is returned @throws Error out_of_memory */
  std::unique_ptr<GpuBench> (*create_bench)(Device& device);
};

/** Differs between sources whose classes do, as far as sizes tell, and whose ops do. */
constexpr uint32_t interface_version() {
  uint32_t hash = 0x811c9dc5;  // FNV-1a
  const auto mix = [&hash](size_t value) { hash = (hash ^ static_cast<uint32_t>(value)) * 0x01000193; };
  mix(2);  // to be raised when the meaning of an unchanged struct changes
  for (const size_t size : {sizeof(Device), sizeof(Arena), sizeof(ExecutionContext), sizeof(OpTable), sizeof(Findings), sizeof(Interface)})
    mix(size);
#define SIGHTLINE_MIX(name, Args)                  \
  for (const char letter : #name) mix(static_cast<unsigned char>(letter)); \
  mix(sizeof(Args));
  SIGHTLINE_OPS(SIGHTLINE_MIX)
#undef SIGHTLINE_MIX
  return hash;
}

/** Type of `sightline_cuda_interface`. @returns null when the library was built from other sources */
using GetInterface = const Interface* (*)(uint32_t version);
inline constexpr const char* interface_symbol = "sightline_cuda_interface";

}  // namespace sightline::cuda
