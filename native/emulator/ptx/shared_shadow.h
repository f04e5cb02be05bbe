#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sightline::emulator {

/**
 * Who touched which shared memory last, and who has met whom at a barrier since: finds races and uninitialised reads.
 *
 * Time advances by one whenever threads synchronise. A cell (kernel.shared_granularity bytes) remembers its last writer and its
 * last readers with the time. An access is ordered behind another exactly if the two threads, or others in between, have
 * synchronised after it. Threads of a warp are ordered by bar.warp.sync and block barriers only; that they run in step counts for
 * nothing, nor do shuffles and votes, which PTX does not let order memory.
 */
class SharedShadow {
 public:
  /** The lane of an access: a thread's, or all of a warp together (ldmatrix). */
  static constexpr int whole_warp = -1;

  enum class Breach { none, uninitialised, race, in_flight };

  /** Forgets everything; `bytes` of shared memory, `granularity` 1, 2 or 4, `warps` 1 to 32. */
  void reset(uint32_t bytes, uint32_t granularity, uint32_t warps);

  /** Checks and records a read. `bytes` is a multiple of the granularity, as is `offset`. */
  Breach read(uint32_t offset, uint32_t bytes, uint32_t warp, int lane) {
    const uint32_t limit = limits_[warp], stamp = stamp_of(warp, lane);
    Breach breach = Breach::none;
    const uint32_t end = (offset + bytes) >> shift_;
    for (uint32_t cell = offset >> shift_; cell < end; ++cell) {
      // One comparison finds both the cells that nobody wrote (0) and the writes that may be unordered.
      if (writes_[cell] - 1 >= limit - 1 && breach == Breach::none) breach = check_read(cell, warp, lane);
      if (reads_[cell] != stamp) reads_[cell] = reads_[cell] < limit ? stamp : merged_read(cell, warp, lane);
    }
    return breach;
  }

  /** Checks and records a write. */
  Breach write(uint32_t offset, uint32_t bytes, uint32_t warp, int lane) {
    const uint32_t limit = limits_[warp], stamp = stamp_of(warp, lane);
    Breach breach = Breach::none;
    const uint32_t end = (offset + bytes) >> shift_;
    for (uint32_t cell = offset >> shift_; cell < end; ++cell) {
      if ((writes_[cell] >= limit || reads_[cell] >= limit) && breach == Breach::none) breach = check_write(cell, warp, lane);
      writes_[cell] = stamp;
    }
    return breach;
  }

  /** Checks and records an atomic read-modify-write; atomics do not race with each other. */
  Breach atomic(uint32_t offset, uint32_t bytes, uint32_t warp, int lane);

  /** A cp.async was issued: a write, and nobody may touch the bytes until land(). */
  Breach begin_copy(uint32_t offset, uint32_t bytes, uint32_t warp, int lane);
  /** Its thread has waited for it. */
  void land(uint32_t offset, uint32_t bytes, uint32_t warp, int lane);

  /** Warps that arrive at a barrier without waiting; the time to pass to meet(). */
  uint32_t arrive() { return advance(); }
  /**
   * A barrier of whole warps completes: `waited` have met each other, and `arrived` (with the times of their arrival) before
   * them.
   */
  void meet(const std::vector<uint32_t>& waited, const std::vector<std::pair<uint32_t, uint32_t>>& arrived);
  /** bar.warp.sync of the lanes of `mask`; `live` are the lanes of the warp that have not ended. */
  void meet_lanes(uint32_t warp, uint32_t mask, uint32_t live);

  /** "written by warp 2, lane 5": the last access that the breach at this offset was found against. */
  std::string other_party() const;

 private:
  // A stamp: time in bits 11 to 30, who in bits 0 to 10; in the writes, bit 31 for a copy in flight.
  static constexpr uint32_t who_bits = 11, last_time = (1u << 20) - 1, in_flight = 1u << 31;
  // Who: threads 0 to 1023, then several lanes of one warp, a whole warp by one instruction, several warps, atomics.
  static constexpr uint32_t several_lanes = 1024, matrix_of = 1056, several_warps = 1088, atomics = 1089;

  uint32_t who_of(uint32_t warp, int lane) const {
    return lane == whole_warp ? matrix_of + warp : 32 * warp + static_cast<uint32_t>(lane);
  }
  uint32_t stamp_of(uint32_t warp, int lane) const { return time_ << who_bits | who_of(warp, lane); }

  uint32_t advance();
  /** Whether the access that `stamp` stands for is ordered before one by this thread now. */
  bool ordered(uint32_t stamp, uint32_t warp, int lane) const;
  Breach check_read(uint32_t cell, uint32_t warp, int lane);
  Breach check_write(uint32_t cell, uint32_t warp, int lane);
  uint32_t merged_read(uint32_t cell, uint32_t warp, int lane) const;
  void update_limit(uint32_t warp);
  uint32_t& met(uint32_t warp, uint32_t other) { return met_[32 * warp + other]; }
  uint32_t met(uint32_t warp, uint32_t other) const { return met_[32 * warp + other]; }

  uint32_t shift_ = 2, warps_ = 0, time_ = 1;
  std::vector<uint32_t> writes_, reads_;
  /** met(w, v): accesses of warp v before this time are ordered before what warp w does now. */
  std::vector<uint32_t> met_;
  /** The same among the lanes of a warp: for all of them together, and for pairs where some lanes alone have met. */
  std::vector<uint32_t> lanes_met_;
  std::vector<std::vector<uint32_t>> lane_pairs_;
  /** Stamps below it are ordered before what the warp does now, whoever they are of. */
  std::vector<uint32_t> limits_;
  uint32_t other_stamp_ = 0;
  bool other_wrote_ = false;
};

}  // namespace sightline::emulator
