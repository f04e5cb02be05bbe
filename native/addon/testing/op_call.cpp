#include "addon/testing/op_call.h"

namespace sightline {

std::function<void()> bind_op(const std::string& name, OpArguments& arguments, Device& device) {
#define SIGHTLINE_CALL(op, Args) \
  if (name == #op) return [&device, args = arguments.read<Args>()] { device.ops().op(device.context(), args); };
  SIGHTLINE_OPS(SIGHTLINE_CALL)
#undef SIGHTLINE_CALL
  fail(ErrorCode::invalid_argument, "name: there is no op \"", name, "\"");
}

}  // namespace sightline
