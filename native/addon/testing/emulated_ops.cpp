#include "addon/testing/emulated_ops.h"

#include <cstring>
#include <memory>

#include "core/error.h"
#include "emulator/runtime/control.h"
#include "engine/cuda_library.h"

// The emulator's, with the signatures of the CUDA runtime: this module is linked with it.
extern "C" int cudaMalloc(void** pointer, size_t bytes);
extern "C" int cudaFree(void* pointer);
extern "C" int cudaDeviceSynchronize();

namespace sightline {
namespace {

/** What the emulator has to say about the calling thread's and the device's last failure. */
std::string explanation() {
  std::string text;
  const auto append = [&text](auto read) {
    std::string part(read(nullptr, 0), '\0');
    if (part.empty()) return;
    read(part.data(), part.size() + 1);
    text += '\n' + part;
  };
  append([](char* to, size_t bytes) { return sightline_emulator_violation(0, to, bytes); });
  append([](char* to, size_t bytes) { return sightline_emulator_refusal(to, bytes); });
  return text;
}

void start_anew(int threads) {
  static uint64_t calls = 0;
  SightlineEmulatorSettings settings, current;
  sightline_emulator_get_settings(&current);
  sightline_emulator_default_settings(&settings);
  settings.count_traffic = current.count_traffic;
  settings.seed = ++calls;
  settings.random_interleaving = 1;
  settings.async_copies = SIGHTLINE_EMULATOR_COPIES_RANDOM;
  settings.interpreter_threads = threads;
  sightline_emulator_configure(&settings);
}

}  // namespace

EmulatedArrays::~EmulatedArrays() {
  cudaDeviceSynchronize();  // an op that failed leaves work behind
  for (void* allocation : allocations_) cudaFree(allocation);
}

void* EmulatedArrays::allocate(size_t bytes) {
  void* data = nullptr;
  if (cudaMalloc(&data, bytes) != 0) fail(ErrorCode::out_of_memory, "the emulated GPU has no ", bytes, " bytes", explanation());
  allocations_.push_back(data);
  return data;
}

void* EmulatedArrays::place(Napi::ArrayBuffer buffer, bool written) {
  const size_t bytes = buffer.ByteLength();
  if (bytes == 0) return nullptr;
  const auto [found, is_new] = copies_.try_emplace(buffer.Data());
  Copy& copy = found->second;
  if (is_new) {
    copy = {allocate(bytes), bytes, false};
    device_.upload(copy.data, buffer.Data(), bytes);
  }
  copy.written |= written;
  return copy.data;
}

const void* EmulatedArrays::place_list(const void* list, size_t count) {
  if (count == 0) return nullptr;
  void* copy = allocate(count * sizeof(void*));
  device_.upload(copy, list, count * sizeof(void*));
  return copy;
}

void EmulatedArrays::fetch() {
  for (const auto& [host, copy] : copies_) {
    if (copy.written) {
      device_.download(host, copy.data, copy.bytes);
      continue;
    }
    std::vector<char> now(copy.bytes);
    device_.download(now.data(), copy.data, copy.bytes);
    if (std::memcmp(now.data(), host, copy.bytes) != 0) fail(ErrorCode::internal, "the op has written to an array that it may only read");
  }
}

void run_emulated(int threads, const std::function<void(Device& device, ArrayPlaces& places)>& op) {
  start_anew(threads);
  try {
    const std::unique_ptr<Device> device = cuda_library().interface.create(0, Precision::fp32, 0);
    EmulatedArrays arrays(*device);
    op(*device, arrays);
    arrays.fetch();
  } catch (const Error& error) {
    const std::string found = explanation();
    sightline_emulator_reset();
    throw Error(error.code(), error.what() + found);
  }
  SightlineEmulatorMemory memory;
  sightline_emulator_memory(0, &memory);
  require(memory.allocations == 0, "expected an op and its device to leave no memory behind, found ", memory.allocations,
          " allocations of ", memory.current_bytes, " bytes");
  if (const std::string found = explanation(); !found.empty()) fail(ErrorCode::internal, "on the emulated GPU:", found);
}

}  // namespace sightline
