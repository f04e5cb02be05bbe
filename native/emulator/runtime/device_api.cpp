// Devices of the CUDA runtime.
#include <map>

#include "emulator/runtime/api.h"
#include "emulator/runtime/limits.h"
#include "emulator/runtime/runtime.h"

using namespace sightline::emulator;

namespace {

/** cudaDeviceAttr and its value. Those left out are refused. */
const std::map<int, uint32_t>& attributes() {
  static const std::map<int, uint32_t> values{
      {1, limits::threads_per_block},
      {2, limits::block_x},
      {3, limits::block_y},
      {4, limits::block_z},
      {5, limits::grid_x},
      {6, limits::grid_y},
      {7, limits::grid_z},
      {8, limits::shared_bytes_per_block},
      {9, limits::constant_bytes},
      {10, 32},  // warp size
      {12, limits::registers},
      {13, limits::clock_khz},
      {16, limits::multiprocessors},
      {36, limits::memory_clock_khz},
      {37, limits::memory_bus_bits},
      {38, limits::l2_bytes},
      {39, limits::threads_per_multiprocessor},
      {41, 1},  // unified addressing
      {75, limits::compute_major},
      {76, limits::compute_minor},
      {81, limits::shared_bytes_per_multiprocessor},
      {82, limits::registers},
      {97, limits::shared_bytes_per_block_opt_in},
      {106, limits::blocks_per_multiprocessor},
      {111, limits::shared_bytes_reserved_per_block},
  };
  return values;
}

}  // namespace

namespace sightline::emulator {

SIGHTLINE_EMULATOR_API CudaError cudaGetDeviceCount(int* count) {
  return guarded([&] {
    if (count == nullptr) refuse(CudaError::invalid_value, "cudaGetDeviceCount: count is null");
    *count = Runtime::instance().settings().device_count;
    return *count > 0 ? CudaError::success : CudaError::no_device;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaSetDevice(int device) {
  return guarded([&] {
    Runtime::instance().set_current_device(device);
    return CudaError::success;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaGetDevice(int* device) {
  return guarded([&] {
    if (device == nullptr) refuse(CudaError::invalid_value, "cudaGetDevice: device is null");
    *device = Runtime::instance().current_device().index();
    return CudaError::success;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaDeviceGetAttribute(int* value, int attribute, int device) {
  return guarded([&] {
    if (value == nullptr) refuse(CudaError::invalid_value, "cudaDeviceGetAttribute: value is null");
    Runtime::instance().device(device);
    const auto found = attributes().find(attribute);
    if (found == attributes().end()) {
      refuse(CudaError::invalid_value, "cudaDeviceGetAttribute: the emulator does not know attribute ", attribute);
    }
    *value = static_cast<int>(found->second);
    return CudaError::success;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaDeviceSynchronize() {
  return on_device([](Device& device) {
    device.forbid_while_capturing("cudaDeviceSynchronize");
    device.wait_for_all();
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return guarded([&] {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return CudaError::success;
  });
}

}  // namespace sightline::emulator
