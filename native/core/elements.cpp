#include "core/elements.h"

#include <string>

#include "core/error.h"

namespace sightline {

void require_one_type(const char* op, const char* arguments, std::initializer_list<DType> types) {
  std::string received;
  bool equal = true;
  for (const DType type : types) {
    equal = equal && type == *types.begin();
    received += (received.empty() ? "" : ", ") + std::string(type == DType::bf16 ? "bf16" : "fp32");
  }
  require(equal, op, ": expected ", arguments, " to be stored in one type, received ", received);
}

void require_pairs(const char* argument, DType type, int64_t count) {
  require(type != DType::bf16 || count % 2 == 0, argument, ": expected an even number of elements stored as bf16, received ",
          count, "; store them as fp32");
}

}  // namespace sightline
