#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "emulator/ptx/interpreter.h"
#include "emulator/runtime/device.h"

namespace sightline::emulator {

/** The process-wide state behind the C interface: settings, devices, pinned memory, counters. Never destroyed. */
class Runtime {
 public:
  static Runtime& instance();

  /** Resets all devices; they start with `settings`. */
  void configure(const SightlineEmulatorSettings& settings);
  SightlineEmulatorSettings settings() const;

  /** The calling thread's device. @throws Refusal when there is none */
  Device& current_device();
  /** Chooses the calling thread's device. @throws Refusal */
  void set_current_device(int index);
  int current_index() const;
  /** @throws Refusal when there is no such device */
  Device& device(int index);

  PinnedMemory& pinned() { return pinned_; }

  void count(const std::string& kernel, const Traffic& traffic);
  /** Counters by kernel name. */
  std::map<std::string, SightlineEmulatorTraffic>& counters() { return counters_; }

  /** Sleeps until another device may have made progress, a few milliseconds at most. */
  void await_progress();
  /** Wakes those who await_progress(). */
  void announce_progress() { progress_.notify_all(); }

 private:
  Runtime();

  mutable std::mutex mutex_;
  SightlineEmulatorSettings settings_;
  std::vector<std::unique_ptr<Device>> devices_;
  PinnedMemory pinned_;
  std::map<std::string, SightlineEmulatorTraffic> counters_;
  std::mutex progress_mutex_;
  std::condition_variable progress_;
};

/** What a call leaves behind in its thread. */
struct ThreadState {
  int device = 0;
  /** Of cudaGetLastError. */
  CudaError last_error = CudaError::success;
  /** Why the last call failed, if it did and there is more to say than its error says. */
  std::string refusal;
};
ThreadState& thread_state();

/** Notes `error` as the thread's last one unless it is success, and returns it. */
CudaError note(CudaError error);

/** The body of a call: no exception leaves it, and what it returns is what cudaGetLastError answers. */
template <class Body>
CudaError guarded(Body&& body) noexcept {
  thread_state().refusal.clear();
  try {
    return note(body());
  } catch (const Refusal& refusal) {
    thread_state().refusal = refusal.message;
    return note(refusal.error);
  } catch (const std::bad_alloc&) {
    return note(CudaError::memory_allocation);
  } catch (const std::exception& exception) {
    thread_state().refusal = exception.what();
    return note(CudaError::unknown);
  }
}

/** A call on the thread's device, with its mutex held; answers the device's error if it has one before or after. */
template <class Body>
CudaError on_device(Body&& body) noexcept {
  return guarded([&] {
    Device& device = Runtime::instance().current_device();
    const std::lock_guard lock(device.mutex());
    if (device.error() == CudaError::success) body(device);
    thread_state().refusal = device.violation();
    return device.error();
  });
}

}  // namespace sightline::emulator
