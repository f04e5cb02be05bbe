#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "addon/testing/array_places.h"
#include "ops/device.h"

namespace sightline {

/** The name that tests know the emulated GPU by, beside those of the CPU's instruction-set paths. */
inline constexpr const char* emulated_backend = "cuda-emulated";

/**
 * Copies of arrays in the memory of an emulated GPU, each an allocation of exactly its size, so that an access past its end
 * shows. Views of one ArrayBuffer share one copy.
 */
class EmulatedArrays : public ArrayPlaces {
 public:
  explicit EmulatedArrays(Device& device) : device_(device) {}
  ~EmulatedArrays() override;

  void* place(Napi::ArrayBuffer buffer, bool written) override;
  const void* place_list(const void* list, size_t count) override;
  /** Copies back what the op may have written. @throws Error internal when it has changed anything else */
  void fetch();

 private:
  struct Copy {
    void* data;
    size_t bytes;
    bool written;
  };
  void* allocate(size_t bytes);

  Device& device_;
  /** By the address that JavaScript has them at. */
  std::map<void*, Copy> copies_;
  std::vector<void*> allocations_;
};

/**
 * Runs one op on a GPU that the emulator makes anew for it, with all its checks, warps interleaved at random, and a seed of
 * its own for every call of the process.
 *
 * @param threads  of the interpreter
 * @param op       runs the op on the device, with arguments from the places given
 * @throws Error with what the emulator found
 */
void run_emulated(int threads, const std::function<void(Device& device, ArrayPlaces& places)>& op);

}  // namespace sightline
