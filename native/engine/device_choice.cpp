#include "engine/device_choice.h"

#include <charconv>
#include <string_view>

#include "core/error.h"
#include "engine/cuda_library.h"
#include "ops/cpu_device.h"

namespace sightline {

DeviceChoice DeviceChoice::parse(const std::string& name) {
  if (name == "cpu") return {};
  if (name == "cuda") return {.gpu = 0};
  constexpr std::string_view prefix = "cuda:";
  int gpu = -1;
  if (name.starts_with(prefix)) {
    const char* const end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, gpu);
    if (error != std::errc() || stop != end) gpu = -1;
  }
  require(gpu >= 0, "device: expected \"cpu\", \"cuda\", or \"cuda:N\" with the number N of a GPU from 0, received \"", name, '"');
  return {.gpu = gpu};
}

std::unique_ptr<Device> create_device(DeviceChoice choice, const std::string& cpu, int threads, Precision precision,
                                      size_t memory_limit_bytes) {
  if (!choice.gpu) return std::make_unique<CpuDevice>(select_isa(cpu), threads, memory_limit_bytes, precision);
  require(cpu.empty(), "cpu: expected none, since the device is a GPU, received \"", cpu, '"');
  return cuda_library().interface.create(*choice.gpu, precision, memory_limit_bytes);
}

}  // namespace sightline
