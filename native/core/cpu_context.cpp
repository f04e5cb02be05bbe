#include "core/cpu_context.h"

namespace sightline {

CpuContext::CpuContext(ThreadPool& pool, Arena& arena)
    : pool_(pool), arena_(arena), thread_scratch_(static_cast<size_t>(pool.size())), rope_table_(arena) {}

float* CpuContext::thread_scratch(int thread, int64_t count) {
  return grow(thread_scratch_[static_cast<size_t>(thread)], count);
}

float* CpuContext::shared_scratch(int64_t count) { return grow(shared_scratch_, count); }

float* CpuContext::op_scratch(int64_t count) { return grow(op_scratch_, count); }

float* CpuContext::grow(std::shared_ptr<Storage>& slot, int64_t count) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  if (!slot || slot->bytes() < bytes) {
    slot.reset();
    slot = arena_.allocate(bytes, Purpose::workspace);
  }
  return static_cast<float*>(slot->data());
}

}  // namespace sightline
