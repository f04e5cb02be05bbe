#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "core/isa.h"
#include "emulator/ptx/lanes/rows.h"

namespace sightline::emulator {

/** The register instructions of lanes/ by PTX name, and their functions on each instruction-set path. */
class RowTable {
 public:
  static const RowTable& instance();

  /** Index of the row of this name, or -1. */
  int find(const std::string& name) const;
  const Row& row(int index) const { return rows_[static_cast<size_t>(index)]; }

  /** The functions of the rows, by index, compiled for `isa`. */
  const RowFunction* functions(Isa isa) const;

 private:
  RowTable();
  void add(const RowList& list);

  std::vector<Row> rows_;
  std::unordered_map<std::string, int> indices_;
  std::vector<RowFunction> portable_, avx2_, avx512_;
};

}  // namespace sightline::emulator
