// Memory of the CUDA runtime: allocation, copies, fills.
#include <algorithm>
#include <cstring>
#include <vector>

#include "emulator/runtime/api.h"
#include "emulator/runtime/modules.h"
#include "emulator/runtime/runtime.h"

using namespace sightline::emulator;

namespace {

/** Where one end of a copy lies, as it was when the copy was asked for. */
struct End {
  const void* pointer;
  bool on_device;
};

/** @throws Refusal when the range begins in device memory and runs out of its allocation */
End locate(Device& device, const char* call, const char* parameter, const void* pointer, size_t bytes) {
  if (pointer == nullptr) refuse(CudaError::invalid_value, call, ": ", parameter, " is null");
  const bool on_device = device.memory().holds(pointer);
  if (on_device && !device.memory().global().contains(pointer, bytes)) {
    refuse(CudaError::invalid_value, call, ": ", parameter, ": expected ", bytes, " bytes within one allocation of the device");
  }
  return {pointer, on_device};
}

/** Holds `kind` against what the pointers are. */
void require_direction(const char* call, CopyKind kind, const End& destination, const End& source) {
  if (kind == CopyKind::infer) return;
  const bool to_device = kind == CopyKind::host_to_device || kind == CopyKind::device_to_device;
  const bool from_device = kind == CopyKind::device_to_host || kind == CopyKind::device_to_device;
  if (to_device != destination.on_device || from_device != source.on_device) {
    refuse(CudaError::invalid_value, call, ": kind ", static_cast<int>(kind), " does not fit: the destination is ",
           destination.on_device ? "device" : "host", " memory, the source ", source.on_device ? "device" : "host", " memory");
  }
}

/** @throws DeviceFault when device memory was freed while the work that uses it was queued */
void require_alive(Device& device, const std::string& call, const void* pointer, size_t bytes) {
  if (!device.memory().global().contains(pointer, bytes)) {
    fault(CudaError::illegal_address, call, ": the ", bytes, " bytes at ", pointer, " are not (or no longer) device memory");
  }
}

void copy(Device& device, const std::string& call, const End& destination, const End& source, const void* from, size_t bytes) {
  if (source.on_device) require_alive(device, call, source.pointer, bytes);
  if (destination.on_device) require_alive(device, call, destination.pointer, bytes);
  GlobalMemory& global = device.memory().global();
  if (source.on_device && !destination.on_device && device.settings().checks && !global.is_initialised(from, bytes)) {
    fault(CudaError::launch_failure, call, ": uninitialised: the host is given ", bytes,
          " bytes of device memory of which nobody has written all");
  }
  std::memmove(const_cast<void*>(destination.pointer), from, bytes);
  if (!destination.on_device) return;
  if (!source.on_device) {
    global.mark_initialised(destination.pointer, bytes);
    return;
  }
  const auto shadow = [&](const void* pointer) {
    const auto* allocation = global.find(reinterpret_cast<uintptr_t>(pointer));
    return allocation->initialised.get() + (reinterpret_cast<uintptr_t>(pointer) - allocation->begin);
  };
  std::memmove(shadow(destination.pointer), shadow(source.pointer), bytes);
}

/**
 * Queues a copy. From pageable host memory the bytes are taken at once, to pageable host memory the call waits for them, as the
 * CUDA runtime does; pinned memory is read and written when the stream gets there.
 */
void copy_async(Device& device, const char* call, void* to, const void* from, size_t bytes, CopyKind kind, Stream& stream,
                bool wait) {
  if (bytes == 0) return;
  const End destination = locate(device, call, "destination", to, bytes), source = locate(device, call, "source", from, bytes);
  require_direction(call, kind, destination, source);
  const PinnedMemory& pinned = Runtime::instance().pinned();
  const bool stages =
      source.on_device == false && destination.on_device && !wait && !stream.capture && !pinned.contains(from, bytes);
  auto staged = std::make_shared<std::vector<std::byte>>();
  if (stages) staged->assign(static_cast<const std::byte*>(from), static_cast<const std::byte*>(from) + bytes);
  Operation operation{.name = call,
                      .run =
                          [&device, name = std::string(call), destination, source, bytes, staged] {
                            const void* bytes_from = staged->empty() ? source.pointer : staged->data();
                            copy(device, name, destination, source, bytes_from, bytes);
                          },
                      .ready = {},
                      .uses = {{to, bytes}}};
  if (!stages) operation.uses.push_back({from, bytes});
  ++device.calls().copies;
  const TokenPointer done = device.submit(stream, std::move(operation));
  const bool to_pageable = !destination.on_device && !pinned.contains(to, bytes);
  if (wait || to_pageable) device.wait(done);
}

void set_async(Device& device, const char* call, void* to, int value, size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  if (!locate(device, call, "pointer", to, bytes).on_device) refuse(CudaError::invalid_value, call, ": expected device memory");
  ++device.calls().fills;
  device.submit(stream, {.name = call,
                         .run =
                             [&device, name = std::string(call), to, value, bytes] {
                               require_alive(device, name, to, bytes);
                               std::memset(to, value, bytes);
                               device.memory().global().mark_initialised(to, bytes);
                             },
                         .ready = {},
                         .uses = {{to, bytes}}});
}

/** Breaks the device if queued work uses the range, which is not to be freed then. The CUDA runtime would wait for the work; a
 *  program that relies on it frees what it still uses. */
bool is_found_in_use(Device& device, const char* call, const void* pointer, size_t bytes) {
  const std::string* user = device.user_of(pointer, bytes);
  if (user == nullptr || !device.settings().checks) return false;
  device.fail(CudaError::launch_failure,
              sightline::concat(call, ": frees ", bytes, " bytes that queued work still uses: ", *user));
  return true;
}

}  // namespace

namespace sightline::emulator {

SIGHTLINE_EMULATOR_API CudaError cudaMalloc(void** pointer, size_t bytes) {
  return on_device([&](Device& device) {
    if (pointer == nullptr) refuse(CudaError::invalid_value, "cudaMalloc: pointer is null");
    *pointer = nullptr;
    device.forbid_while_capturing("cudaMalloc");
    if (bytes == 0) return;
    *pointer = device.memory().allocate(bytes);
    if (*pointer == nullptr) {
      refuse(CudaError::memory_allocation, "cudaMalloc: ", bytes, " bytes do not fit beside the ", device.memory().current(),
             " in use into a budget of ", device.memory().budget());
    }
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaFree(void* pointer) {
  return on_device([&](Device& device) {
    device.forbid_while_capturing("cudaFree");
    if (pointer == nullptr) return;
    const auto bytes = device.memory().size_of(pointer);
    if (!bytes)
      refuse(CudaError::invalid_value,
             "cudaFree: expected a pointer that cudaMalloc returned on this device and that is not freed");
    if (is_found_in_use(device, "cudaFree", pointer, *bytes)) return;
    device.wait_for_all();
    device.memory().release(pointer);
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  return on_device([&](Device& device) {
    if (pointer == nullptr) refuse(CudaError::invalid_value, "cudaHostAlloc: pointer is null");
    device.forbid_while_capturing("cudaHostAlloc");
    *pointer = bytes > 0 ? Runtime::instance().pinned().allocate(bytes) : nullptr;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaMallocHost(void** pointer, size_t bytes) { return cudaHostAlloc(pointer, bytes, 0); }

SIGHTLINE_EMULATOR_API CudaError cudaFreeHost(void* pointer) {
  return on_device([&](Device& device) {
    device.forbid_while_capturing("cudaFreeHost");
    if (pointer == nullptr) return;
    PinnedMemory& pinned = Runtime::instance().pinned();
    const auto bytes = pinned.size_of(pointer);
    if (!bytes)
      refuse(CudaError::invalid_value, "cudaFreeHost: expected a pointer that cudaHostAlloc returned and that is not freed");
    if (is_found_in_use(device, "cudaFreeHost", pointer, *bytes)) return;
    device.wait_for_all();
    pinned.release(pointer);
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaMemGetInfo(size_t* free, size_t* total) {
  return on_device([&](Device& device) {
    if (free == nullptr || total == nullptr) refuse(CudaError::invalid_value, "cudaMemGetInfo: null pointer");
    *total = device.memory().budget();
    *free = device.memory().budget() - device.memory().current();
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaMemcpyAsync(void* to, const void* from, size_t bytes, CopyKind kind, Stream* stream) {
  return on_device(
      [&](Device& device) { copy_async(device, "cudaMemcpyAsync", to, from, bytes, kind, device.stream(stream), false); });
}

SIGHTLINE_EMULATOR_API CudaError cudaMemcpy(void* to, const void* from, size_t bytes, CopyKind kind) {
  return on_device([&](Device& device) {
    // Within the device it returns at once.
    const bool stays = device.memory().holds(to) && device.memory().holds(from);
    copy_async(device, "cudaMemcpy", to, from, bytes, kind, device.stream(nullptr), !stays);
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaMemsetAsync(void* pointer, int value, size_t bytes, Stream* stream) {
  return on_device([&](Device& device) { set_async(device, "cudaMemsetAsync", pointer, value, bytes, device.stream(stream)); });
}

SIGHTLINE_EMULATOR_API CudaError cudaMemset(void* pointer, int value, size_t bytes) {
  return on_device([&](Device& device) { set_async(device, "cudaMemset", pointer, value, bytes, device.stream(nullptr)); });
}

SIGHTLINE_EMULATOR_API CudaError cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset,
                                                         CopyKind kind, Stream* stream) {
  return on_device([&](Device& device) {
    const Variable variable = Modules::instance().find_variable(symbol);
    if (offset > variable.bytes || bytes > variable.bytes - offset) {
      refuse(CudaError::invalid_value, "cudaMemcpyToSymbol: expected at most ", variable.bytes, " bytes, received ", bytes,
             " at ", offset);
    }
    if (kind != CopyKind::host_to_device && kind != CopyKind::infer) {
      refuse(CudaError::not_supported, "cudaMemcpyToSymbol: the emulator copies from host memory only");
    }
    const auto* first = static_cast<const std::byte*>(from);
    std::vector<std::byte> staged(first, first + bytes);
    device.submit(
        device.stream(stream),
        {.name = "cudaMemcpyToSymbol",
         .run = [to = variable.data + offset, staged = std::move(staged)] { std::memcpy(to, staged.data(), staged.size()); },
         .ready = {},
         .uses = {}});
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset,
                                                    CopyKind kind) {
  return cudaMemcpyToSymbolAsync(symbol, from, bytes, offset, kind, nullptr);
}

}  // namespace sightline::emulator
