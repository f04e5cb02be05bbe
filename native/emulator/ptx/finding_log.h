#pragma once

#include <set>
#include <utility>
#include <vector>

#include "emulator/ptx/findings.h"
#include "emulator/ptx/program.h"

namespace sightline::emulator {

/** Collects the findings of one block, one per kind and instruction, at most as many as a Violation carries. */
class FindingLog {
 public:
  explicit FindingLog(const Kernel& kernel) : kernel_(kernel) {}

  void begin_block(uint32_t x, uint32_t y, uint32_t z);

  void report(FindingKind kind, const Instruction& instruction, uint32_t warp, int lane, std::string message);

  bool empty() const { return findings_.empty(); }
  /** Whether more findings would be dropped. */
  bool full() const { return findings_.size() >= Violation::max_findings; }
  std::vector<Finding> take() { return std::move(findings_); }

 private:
  const Kernel& kernel_;
  uint32_t block_[3] = {0, 0, 0};
  std::vector<Finding> findings_;
  std::set<std::pair<FindingKind, const Instruction*>> known_;
};

}  // namespace sightline::emulator
