#include "ops/cpu_device.h"

#include <cstring>

namespace sightline {

void CpuDevice::zero(void* to, size_t bytes) {
  if (bytes > 0) std::memset(to, 0, bytes);
}

void CpuDevice::copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace sightline
