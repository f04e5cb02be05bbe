#pragma once

#include <cstddef>
#include <string_view>

namespace sightline {

/**
 * Where `text` stops being UTF-8 as RFC 3629 defines it (no overlong forms, no surrogates, nothing above
 * U+10FFFF).
 *
 * @return index of the first byte of the first ill-formed sequence; `text.size()` when all is well formed
 */
size_t find_invalid_utf8(std::string_view text);

}  // namespace sightline
