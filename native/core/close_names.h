#pragma once

#include <string>
#include <vector>

namespace sightline {

/** The few of `known` that take the fewest insertions, deletions and replacements to become `name`, closest first, for a message. */
std::string close_names(const std::string& name, const std::vector<std::string>& known);

}  // namespace sightline
