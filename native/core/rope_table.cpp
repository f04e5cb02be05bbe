#include "core/rope_table.h"

#include <bit>
#include <cmath>

namespace sightline {

RopeTable::Table& RopeTable::find(int64_t head_size, float theta) {
  for (Table& table : tables_)
    if (table.head_size == head_size && table.theta == theta) return table;
  return tables_.emplace_back(Table{head_size, theta, 0, nullptr});
}

const float* RopeTable::rows(int64_t positions, int64_t head_size, float theta) {
  Table& table = find(head_size, theta);
  if (positions > table.positions) {
    // Powers of two, so that sequences that grow token by token recompute the table seldom.
    table.positions = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(positions)));
    table.values.reset();
    const size_t bytes = static_cast<size_t>(table.positions * head_size) * sizeof(float);
    table.values = arena_.allocate(bytes, Purpose::workspace);
    float* values = static_cast<float*>(table.values->data());
    const int64_t half = head_size / 2;
    for (int64_t k = 0; k < half; ++k) {
      const double exponent = -2.0 * static_cast<double>(k) / static_cast<double>(head_size);
      const double frequency = std::pow(static_cast<double>(theta), exponent);
      for (int64_t position = 0; position < table.positions; ++position) {
        const double angle = static_cast<double>(position) * frequency;
        values[position * head_size + k] = static_cast<float>(std::cos(angle));
        values[position * head_size + half + k] = static_cast<float>(std::sin(angle));
      }
    }
  }
  return static_cast<const float*>(table.values->data());
}

}  // namespace sightline
