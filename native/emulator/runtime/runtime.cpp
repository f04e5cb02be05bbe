#include "emulator/runtime/runtime.h"

#include <chrono>

namespace sightline::emulator {

Runtime& Runtime::instance() {
  // Libraries unregister their kernels while the process ends, after static objects are gone.
  static Runtime& runtime = *new Runtime;
  return runtime;
}

Runtime::Runtime() {
  sightline_emulator_default_settings(&settings_);
  configure(settings_);
}

void Runtime::configure(const SightlineEmulatorSettings& settings) {
  const std::lock_guard lock(mutex_);
  settings_ = settings;
  devices_.clear();
  counters_.clear();
  for (int index = 0; index < settings.device_count; ++index) {
    devices_.push_back(std::make_unique<Device>(index, settings_));
  }
}

SightlineEmulatorSettings Runtime::settings() const {
  const std::lock_guard lock(mutex_);
  return settings_;
}

int Runtime::current_index() const { return thread_state().device; }

Device& Runtime::current_device() { return device(current_index()); }

Device& Runtime::device(int index) {
  const std::lock_guard lock(mutex_);
  if (devices_.empty()) refuse(CudaError::no_device, "the emulator has been told to have no device");
  if (index < 0 || index >= static_cast<int>(devices_.size())) {
    refuse(CudaError::invalid_device, "device: expected 0 to ", devices_.size() - 1, ", received ", index);
  }
  return *devices_[static_cast<size_t>(index)];
}

void Runtime::set_current_device(int index) {
  device(index);
  thread_state().device = index;
}

void Runtime::count(const std::string& kernel, const Traffic& traffic) {
  const std::lock_guard lock(mutex_);
  SightlineEmulatorTraffic& sum = counters_[kernel];
  sum.launches += 1;
  sum.warp_instructions += traffic.warp_instructions;
  sum.mma += traffic.mma;
  sum.global_requests += traffic.global_requests;
  sum.global_sectors += traffic.global_sectors;
  sum.global_ideal_sectors += traffic.global_ideal_sectors;
  sum.global_bytes_read += traffic.global_bytes_read;
  sum.global_bytes_written += traffic.global_bytes_written;
  sum.shared_wavefronts += traffic.shared_wavefronts;
  sum.shared_ideal_wavefronts += traffic.shared_ideal_wavefronts;
  sum.async_copies += traffic.async_copies;
  sum.barriers += traffic.barriers;
}

void Runtime::await_progress() {
  std::unique_lock lock(progress_mutex_);
  progress_.wait_for(lock, std::chrono::milliseconds(5));
}

ThreadState& thread_state() {
  thread_local ThreadState state;
  return state;
}

CudaError note(CudaError error) {
  if (error != CudaError::success) thread_state().last_error = error;
  return error;
}

}  // namespace sightline::emulator
