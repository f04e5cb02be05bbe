#include "core/close_names.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace sightline {
namespace {

constexpr size_t most_names = 3;

/** Wagner and Fischer 1974, row by row. */
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

}  // namespace

std::string close_names(const std::string& name, const std::vector<std::string>& known) {
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const std::string& other : known) ranked.emplace_back(edit_distance(name, other), other);
  const size_t count = std::min(most_names, ranked.size());
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(count), ranked.end());
  std::string text;
  for (size_t i = 0; i < count; ++i) text += (i > 0 ? ", " : "") + ranked[i].second;
  return text;
}

}  // namespace sightline
