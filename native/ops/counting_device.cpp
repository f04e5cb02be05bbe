#include "ops/counting_device.h"

#include <atomic>
#include <cstring>

namespace sightline {
namespace {

/** Hands out addresses that nobody ever looks behind. */
class CountedMemory : public MemorySource {
 public:
  void* allocate(size_t bytes) override { return reinterpret_cast<void*>(next_.fetch_add(bytes)); }
  void release(void*, size_t) override {}

 private:
  // Above every address of a process, so that a mistake faults instead of reading something.
  std::atomic<uintptr_t> next_{uintptr_t{1} << 56};
};

MemorySource& counted_memory() {
  static CountedMemory memory;
  return memory;
}

template <class Args>
void do_nothing(ExecutionContext&, const Args&) {}

#define SIGHTLINE_NOTHING(name, Args) &do_nothing<Args>,
constexpr OpTable no_ops{SIGHTLINE_OPS(SIGHTLINE_NOTHING)};
#undef SIGHTLINE_NOTHING

}  // namespace

CountingDevice::CountingDevice(std::optional<Isa> isa, Precision precision, size_t memory_limit_bytes)
    : Device(precision, memory_limit_bytes, counted_memory(), no_ops), isa_(isa) {}

void CountingDevice::download(void* host, const void*, size_t bytes) {
  if (bytes > 0) std::memset(host, 0, bytes);
}

int64_t CountingDevice::packed_bytes(int64_t k, int64_t n) const {
  return isa_ ? matmul_packed_size(*isa_, precision(), k, n) * static_cast<int64_t>(sizeof(float)) : k * n * size_of(operand_type());
}

std::unique_ptr<StepRecorder> CountingDevice::make_step_recorder() {
  if (isa_) return Device::make_step_recorder();
  return std::make_unique<PooledStepRecorder>(arena());
}

}  // namespace sightline
