#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ops/device.h"

namespace sightline {

/** Where an engine's model is to live. */
struct DeviceChoice {
  /** Index of the GPU; none: the CPU. */
  std::optional<int> gpu;

  /** @param name  "cpu", "cuda" (the first GPU) or "cuda:N" @throws invalid_argument for anything else */
  static DeviceChoice parse(const std::string& name);
};

/** @param cpu, threads  of the CPU alone; `cpu` must be empty on a GPU; see EngineOptions */
std::unique_ptr<Device> create_device(DeviceChoice choice, const std::string& cpu, int threads, Precision precision,
                                      size_t memory_limit_bytes);

}  // namespace sightline
