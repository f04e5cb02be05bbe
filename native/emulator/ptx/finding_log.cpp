#include "emulator/ptx/finding_log.h"

namespace sightline::emulator {

void FindingLog::begin_block(uint32_t x, uint32_t y, uint32_t z) {
  block_[0] = x;
  block_[1] = y;
  block_[2] = z;
  findings_.clear();
  known_.clear();
}

void FindingLog::report(FindingKind kind, const Instruction& instruction, uint32_t warp, int lane, std::string message) {
  if (full() || !known_.emplace(kind, &instruction).second) return;
  const SourceLocation& location = kernel_.locations[instruction.location];
  Finding finding;
  finding.kind = kind;
  finding.kernel = kernel_.name;
  finding.file = location.file;
  finding.line = location.line;
  finding.ptx_line = instruction.line;
  std::copy(std::begin(block_), std::end(block_), finding.block);
  finding.warp = static_cast<int>(warp);
  finding.lane = lane;
  finding.message = std::move(message);
  findings_.push_back(std::move(finding));
}

}  // namespace sightline::emulator
