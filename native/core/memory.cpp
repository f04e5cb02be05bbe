#include "core/memory.h"

#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sightline {
namespace {

class HostMemory : public MemorySource {
 public:
  void* allocate(size_t bytes) override {
    constexpr size_t alignment = 64, huge_page = size_t{1} << 21;
    void* data = nullptr;
    if (posix_memalign(&data, bytes < huge_page ? alignment : huge_page, bytes) != 0) return nullptr;
#if defined(__linux__)
    // Matrix products walk large matrices with long strides: with 4 KB pages, looking up addresses shows.
    if (bytes >= huge_page) madvise(data, bytes, MADV_HUGEPAGE);
#endif
    return data;
  }
  void release(void* data, size_t) override { std::free(data); }
};

}  // namespace

MemorySource& host_memory() {
  static HostMemory memory;
  return memory;
}

}  // namespace sightline
