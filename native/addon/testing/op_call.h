#pragma once

#include <functional>
#include <string>

#include "addon/testing/op_arguments.h"
#include "ops/device.h"

namespace sightline {

/**
 * The op `name` of a device as a function that calls it once.
 * @param arguments  must outlive what is returned, as must the device
 * @throws invalid_argument naming the op, or its argument, that is not as expected
 */
std::function<void()> bind_op(const std::string& name, OpArguments& arguments, Device& device);

}  // namespace sightline
