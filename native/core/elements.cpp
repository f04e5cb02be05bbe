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

}  // namespace sightline
