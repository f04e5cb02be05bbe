#include "nn/row_keys.h"

namespace sightline {

RowKeys RowKeys::at(Device& device, const Indices& rows) const {
  if (empty()) return {};
  RowKeyList chosen;
  for (const int32_t row : rows.values()) chosen.add({keys[2 * row], keys[2 * row + 1]}, positions[row]);
  return chosen.take(device);
}

}  // namespace sightline
