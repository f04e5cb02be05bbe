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

struct DeviceSettings {
  Precision precision;
  /** 0: unlimited. */
  size_t memory_limit_bytes;
  /** Of the CPU alone: the instruction-set path, see select_isa, which must be empty on a GPU; and threads. */
  std::string cpu;
  int threads;
  /** Whether to make a stand-in that counts what the device would do; it needs no GPU. */
  bool dry_run;
};

std::unique_ptr<Device> create_device(DeviceChoice choice, const DeviceSettings& settings);

}  // namespace sightline
