#include "engine/token_positions.h"

#include <algorithm>

namespace sightline {

TokenPositions token_positions(const Prompt& prompt, const ModelSpec& spec) {
  TokenPositions result{{}, 0};
  const int64_t axes = spec.decoder.position_axes();
  auto image = prompt.images.begin();
  for (size_t t = 0; t < prompt.tokens.size();) {
    if (axes == 1 || prompt.tokens[t] != spec.image_token_id) {
      result.values.insert(result.values.end(), static_cast<size_t>(axes), result.next++);
      ++t;
      continue;
    }
    const int64_t merge = spec.projector->merge_size;
    const int64_t rows = (*image)->grid->rows / merge, columns = (*image)->grid->columns / merge;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column)
        for (const int64_t offset : {int64_t{0}, row, column}) result.values.push_back(result.next + static_cast<int32_t>(offset));
    result.next += static_cast<int32_t>(std::max(rows, columns));
    t += static_cast<size_t>(rows * columns);
    ++image;
  }
  return result;
}

}  // namespace sightline
