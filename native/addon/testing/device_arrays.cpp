#include "addon/testing/device_arrays.h"

#include <cstring>

#include "core/error.h"

namespace sightline {

void* DeviceArrays::allocate(size_t bytes) {
  storages_.push_back(device_.arena().allocate(bytes, Purpose::workspace));
  return storages_.back()->data();
}

void* DeviceArrays::place(Napi::ArrayBuffer buffer, bool written) {
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

const void* DeviceArrays::place_list(const void* list, size_t count) {
  if (count == 0) return nullptr;
  void* copy = allocate(count * sizeof(void*));
  device_.upload(copy, list, count * sizeof(void*));
  return copy;
}

void DeviceArrays::fetch() {
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

}  // namespace sightline
