#pragma once

#include <map>
#include <memory>
#include <vector>

#include "addon/testing/array_places.h"
#include "ops/device.h"

namespace sightline {

/** Copies of arrays in the memory of a device. Views of one ArrayBuffer share one copy. */
class DeviceArrays : public ArrayPlaces {
 public:
  /** @param device  must outlive this */
  explicit DeviceArrays(Device& device) : device_(device) {}

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
  /** Memory until the object ends. */
  virtual void* allocate(size_t bytes);

  Device& device_;
  /** By the address that JavaScript has them at. */
  std::map<void*, Copy> copies_;
  std::vector<std::shared_ptr<Storage>> storages_;
};

}  // namespace sightline
