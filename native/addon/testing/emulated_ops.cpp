#include "addon/testing/emulated_ops.h"

#include <memory>
#include <vector>

#include "addon/testing/device_arrays.h"
#include "core/error.h"
#include "emulator/runtime/control.h"
#include "engine/cuda_library.h"

// The emulator's, with the signatures of the CUDA runtime: this module is linked with it.
extern "C" int cudaMalloc(void** pointer, size_t bytes);
extern "C" int cudaFree(void* pointer);
extern "C" int cudaDeviceSynchronize();

namespace sightline {

std::string emulator_explanation() {
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

namespace {

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

/** Every array an allocation of exactly its size, so that an access past its end shows. */
class EmulatedArrays final : public DeviceArrays {
 public:
  using DeviceArrays::DeviceArrays;
  ~EmulatedArrays() override {
    cudaDeviceSynchronize();  // an op that failed leaves work behind
    for (void* allocation : allocations_) cudaFree(allocation);
  }

 private:
  void* allocate(size_t bytes) override {
    void* data = nullptr;
    if (cudaMalloc(&data, bytes) != 0)
      fail(ErrorCode::out_of_memory, "the emulated GPU has no ", bytes, " bytes", emulator_explanation());
    allocations_.push_back(data);
    return data;
  }

  std::vector<void*> allocations_;
};

}  // namespace

void run_emulated(int threads, const std::function<void(Device& device, ArrayPlaces& places)>& op) {
  start_anew(threads);
  try {
    const std::unique_ptr<Device> device = cuda_library().interface.create(0, Precision::fp32, 0);
    EmulatedArrays arrays(*device);
    op(*device, arrays);
    arrays.fetch();
  } catch (const Error& error) {
    const std::string found = emulator_explanation();
    sightline_emulator_reset();
    throw Error(error.code(), error.what() + found);
  }
  SightlineEmulatorMemory memory;
  sightline_emulator_memory(0, &memory);
  require(memory.allocations == 0, "expected an op and its device to leave no memory behind, found ", memory.allocations,
          " allocations of ", memory.current_bytes, " bytes");
  if (const std::string found = emulator_explanation(); !found.empty()) fail(ErrorCode::internal, "on the emulated GPU:", found);
}

}  // namespace sightline
