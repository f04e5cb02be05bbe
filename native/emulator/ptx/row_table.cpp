#include "emulator/ptx/row_table.h"

#include "core/error.h"

namespace sightline::emulator {
namespace {

#define SIGHTLINE_EMULATOR_LISTS(isa)                                                       \
  {isa::integer_rows(),    isa::bit_rows(),        isa::float_rows(), isa::directed_rows(), \
   isa::comparison_rows(), isa::conversion_rows(), isa::matrix_rows()}

std::vector<RowFunction> functions_of(std::initializer_list<RowList> lists) {
  std::vector<RowFunction> functions;
  for (const RowList& list : lists)
    for (size_t k = 0; k < list.count; ++k) functions.push_back(list.rows[k].function);
  return functions;
}

}  // namespace

RowTable::RowTable() {
  for (const RowList& list : std::initializer_list<RowList> SIGHTLINE_EMULATOR_LISTS(portable)) add(list);
  portable_ = functions_of(SIGHTLINE_EMULATOR_LISTS(portable));
#if defined(__x86_64__)
  avx2_ = functions_of(SIGHTLINE_EMULATOR_LISTS(avx2));
  avx512_ = functions_of(SIGHTLINE_EMULATOR_LISTS(avx512));
#endif
}

void RowTable::add(const RowList& list) {
  for (size_t k = 0; k < list.count; ++k) {
    const Row& row = list.rows[k];
    const std::string name = concat(row.operation, row.type, row.from);
    const bool added = indices_.emplace(name, static_cast<int>(rows_.size())).second;
    if (!added) fail(ErrorCode::internal, "two rows are called ", name);
    rows_.push_back(row);
  }
}

const RowTable& RowTable::instance() {
  static const RowTable table;
  return table;
}

int RowTable::find(const std::string& name) const {
  const auto found = indices_.find(name);
  return found == indices_.end() ? -1 : found->second;
}

const RowFunction* RowTable::functions(Isa isa) const {
  switch (isa) {
    case Isa::portable: return portable_.data();
    case Isa::avx2: return avx2_.data();
    case Isa::avx512:
    case Isa::avx512_bf16: return avx512_.data();
  }
  return portable_.data();
}

}  // namespace sightline::emulator
