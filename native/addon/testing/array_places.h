#pragma once

#include <napi.h>

#include <cstddef>

namespace sightline {

/** Where the arrays among an op's arguments are for the op. Here: where JavaScript has them. */
class ArrayPlaces {
 public:
  ArrayPlaces() = default;
  virtual ~ArrayPlaces() = default;
  ArrayPlaces(const ArrayPlaces&) = delete;
  ArrayPlaces& operator=(const ArrayPlaces&) = delete;

  /** @param written  whether the op may write to it */
  virtual void* place(Napi::ArrayBuffer buffer, [[maybe_unused]] bool written) { return buffer.Data(); }
  /** A list of addresses that `place` gave. @return the same list where the op can read it */
  virtual const void* place_list(const void* list, [[maybe_unused]] size_t count) { return list; }
};

}  // namespace sightline
