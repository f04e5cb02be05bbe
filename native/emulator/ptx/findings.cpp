#include "emulator/ptx/findings.h"

namespace sightline::emulator {
namespace {

std::string describe(const std::vector<Finding>& findings) {
  std::ostringstream text;
  text << findings.size() << (findings.size() == 1 ? " finding" : " findings");
  for (const Finding& finding : findings) {
    text << "\n  " << finding_kind_name(finding.kind) << ": " << finding.message << "\n    at ";
    if (finding.line) text << finding.file << ":" << finding.line << " (PTX line " << finding.ptx_line << ")";
    else text << "PTX line " << finding.ptx_line;
    text << " of " << finding.kernel << ", block (" << finding.block[0] << ", " << finding.block[1] << ", " << finding.block[2]
         << "), warp " << finding.warp;
    if (finding.lane >= 0) text << ", lane " << finding.lane;
  }
  return text.str();
}

}  // namespace

const char* finding_kind_name(FindingKind kind) {
  switch (kind) {
    case FindingKind::race: return "race";
    case FindingKind::uninitialised: return "uninitialised";
    case FindingKind::async_copy: return "async_copy";
    case FindingKind::out_of_bounds: return "out_of_bounds";
    case FindingKind::misaligned: return "misaligned";
    case FindingKind::barrier: return "barrier";
    case FindingKind::divergence: return "divergence";
    case FindingKind::budget: return "budget";
  }
  return "race";
}

Violation::Violation(std::vector<Finding> findings)
    : Error(ErrorCode::invalid_argument, describe(findings)), findings_(std::move(findings)) {}

}  // namespace sightline::emulator
