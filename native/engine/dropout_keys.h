#pragma once

#include "core/philox.h"

namespace sightline {

// Whose masks dropout draws, from a key that stands for a forward pass or for the state of the weights. The counters end as those of
// deriveKey in src/random.ts do. Under its key, a row is known by its position: of a token, in its sequence; of a row of the
// vision encoder or of the projector, among all those of its prompt's images.

/** Key of the rows of a prompt and its images: equal for equal prompts, so that sequences can share them. @param hash  Prompt::hash */
inline RandomKey prompt_key(RandomKey key, uint64_t hash) {
  const auto words = philox({static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32), 1, 1}, key);
  return {words[0], words[1]};
}

/** Key of the response rows of one sequence of a forward pass. @param index  of the sequence */
inline RandomKey response_key(RandomKey key, size_t index) {
  const auto words = philox({static_cast<uint32_t>(index), 0, 0, 1}, key);
  return {words[0], words[1]};
}

}  // namespace sightline
