#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"

namespace sightline::emulator {

enum class FindingKind {
  /** Two threads touch the same shared memory, one of them writing, and no barrier orders them. */
  race,
  /** A read of memory that nobody has written. */
  uninitialised,
  /** An access to shared memory that a cp.async still owns, or a thread that ends without waiting for its copies. */
  async_copy,
  out_of_bounds,
  misaligned,
  /** A barrier reached by part of a warp, or one that can never complete. */
  barrier,
  /** A warp-wide instruction whose member mask differs from the lanes that execute it. */
  divergence,
  /** A block that exceeds its budget of instructions. */
  budget,
};

/** "race", "uninitialised", ... */
const char* finding_kind_name(FindingKind kind);

/** One breach of the rules by a kernel. */
struct Finding {
  FindingKind kind = FindingKind::race;
  std::string kernel;
  /** CUDA source position; line 0 where the PTX was compiled without -lineinfo. */
  std::string file;
  uint32_t line = 0;
  /** Line of the PTX text, from 1. */
  uint32_t ptx_line = 0;
  /** Block index, warp of the block, lane of the warp (-1: the whole warp). */
  uint32_t block[3] = {0, 0, 0};
  int warp = 0, lane = -1;
  std::string message;
};

/** A launch broke rules. what() lists the findings readably, first found first. */
class Violation : public Error {
 public:
  explicit Violation(std::vector<Finding> findings);
  const std::vector<Finding>& findings() const { return findings_; }

  /** Findings that one violation carries at most; an instruction is named once per kind. */
  static constexpr size_t max_findings = 10;

 private:
  std::vector<Finding> findings_;
};

}  // namespace sightline::emulator
