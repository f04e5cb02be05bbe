#include "emulator/runtime/control.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>

#include "emulator/runtime/modules.h"
#include "emulator/runtime/runtime.h"

using namespace sightline::emulator;

namespace {

size_t copy_text(const std::string& from, char* text, size_t bytes) {
  if (bytes > 0) {
    const size_t length = std::min(from.size(), bytes - 1);
    std::memcpy(text, from.data(), length);
    text[length] = '\0';
  }
  return from.size();
}

/** Calls `body` with the device, if there is one of that number. */
template <class Body>
void with_device(int index, Body&& body) {
  guarded([&] {
    Device& device = Runtime::instance().device(index);
    const std::lock_guard lock(device.mutex());
    body(device);
    return CudaError::success;
  });
}

}  // namespace

SIGHTLINE_EMULATOR_API void sightline_emulator_default_settings(SightlineEmulatorSettings* settings) {
  *settings = {.seed = 1,
               .memory_budget_bytes = uint64_t{80} << 30,
               .lazy = 1,
               .checks = 1,
               .random_interleaving = 0,
               .async_copies = SIGHTLINE_EMULATOR_COPIES_LATE,
               .count_traffic = 0,
               .interpreter_threads = 1,
               .device_count = 1,
               .graphs = 1,
               .collective_deadline_ms = 20000};
}

SIGHTLINE_EMULATOR_API void sightline_emulator_get_settings(SightlineEmulatorSettings* settings) {
  *settings = Runtime::instance().settings();
}

SIGHTLINE_EMULATOR_API void sightline_emulator_configure(const SightlineEmulatorSettings* settings) {
  thread_state() = {};
  guarded([&] {
    Runtime::instance().configure(*settings);
    Modules::instance().reset_attributes();
    return CudaError::success;
  });
}

SIGHTLINE_EMULATOR_API void sightline_emulator_reset(void) {
  const SightlineEmulatorSettings settings = Runtime::instance().settings();
  sightline_emulator_configure(&settings);
}

SIGHTLINE_EMULATOR_API size_t sightline_emulator_violation(int device, char* text, size_t bytes) {
  size_t length = 0;
  with_device(device, [&](Device& found) { length = copy_text(found.violation(), text, bytes); });
  return length;
}

SIGHTLINE_EMULATOR_API size_t sightline_emulator_refusal(char* text, size_t bytes) {
  return copy_text(thread_state().refusal, text, bytes);
}

SIGHTLINE_EMULATOR_API void sightline_emulator_memory(int device, SightlineEmulatorMemory* memory) {
  *memory = {};
  with_device(device, [&](Device& found) {
    memory->current_bytes = found.memory().current();
    memory->peak_bytes = found.memory().peak();
    memory->allocations = found.memory().allocations();
    memory->pinned_allocations = Runtime::instance().pinned().allocations();
  });
}

SIGHTLINE_EMULATOR_API void sightline_emulator_calls(int device, SightlineEmulatorCalls* calls) {
  *calls = {};
  with_device(device, [&](Device& found) { *calls = found.calls(); });
}

SIGHTLINE_EMULATOR_API const void* sightline_emulator_kernel(const char* name) {
  return Modules::instance().host_function(name);
}

SIGHTLINE_EMULATOR_API int sightline_emulator_traffic(size_t index, const char** name, SightlineEmulatorTraffic* traffic) {
  const auto& counters = Runtime::instance().counters();
  if (index >= counters.size()) return 0;
  const auto entry = std::next(counters.begin(), static_cast<std::ptrdiff_t>(index));
  *name = entry->first.c_str();
  *traffic = entry->second;
  return 1;
}
