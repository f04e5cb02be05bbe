#include "emulator/ptx/shared_shadow.h"

#include <algorithm>

#include "core/error.h"

namespace sightline::emulator {

void SharedShadow::reset(uint32_t bytes, uint32_t granularity, uint32_t warps) {
  shift_ = granularity == 4 ? 2 : granularity - 1;
  warps_ = warps;
  time_ = 1;
  // One cell more than the bytes: an access that ends in the last, partial cell.
  writes_.assign((bytes >> shift_) + 4, 0);
  reads_.assign((bytes >> shift_) + 4, 0);
  met_.assign(32 * warps, 0);
  lanes_met_.assign(warps, 0);
  lane_pairs_.assign(warps, {});
  limits_.assign(warps, 0);
  for (uint32_t warp = 0; warp < warps; ++warp) update_limit(warp);
}

uint32_t SharedShadow::advance() {
  if (time_ < last_time) return ++time_;
  // Start time again. All accesses so far count as ordered: rather a race missed, once in a million barriers, than one invented.
  time_ = 1;
  for (uint32_t& stamp : writes_)
    if (stamp) stamp = (stamp & in_flight) | several_warps;
  std::fill(reads_.begin(), reads_.end(), 0);
  std::fill(met_.begin(), met_.end(), 1);
  std::fill(lanes_met_.begin(), lanes_met_.end(), 1);
  for (auto& pairs : lane_pairs_) pairs.clear();
  for (uint32_t warp = 0; warp < warps_; ++warp) update_limit(warp);
  return ++time_;
}

void SharedShadow::update_limit(uint32_t warp) {
  uint32_t limit = lanes_met_[warp];
  for (uint32_t other = 0; other < warps_; ++other)
    if (other != warp) limit = std::min(limit, met(warp, other));
  // At least 1, so that read() may subtract from it: stamp 0 stands for "never".
  limits_[warp] = std::max(1u, limit << who_bits);
}

void SharedShadow::meet(const std::vector<uint32_t>& waited, const std::vector<std::pair<uint32_t, uint32_t>>& arrived) {
  const uint32_t now = advance();
  // What any of them knows of the other warps, all that waited know now.
  std::vector<uint32_t> known(warps_, 0);
  const auto learn = [&](uint32_t warp) {
    for (uint32_t other = 0; other < warps_; ++other) known[other] = std::max(known[other], met(warp, other));
  };
  for (const uint32_t warp : waited) learn(warp);
  for (const auto& [warp, time] : arrived) {
    learn(warp);
    known[warp] = std::max(known[warp], time);
  }
  for (const uint32_t warp : waited) known[warp] = now;
  for (const uint32_t warp : waited) {
    for (uint32_t other = 0; other < warps_; ++other) met(warp, other) = known[other];
    lanes_met_[warp] = now;
    update_limit(warp);
  }
}

void SharedShadow::meet_lanes(uint32_t warp, uint32_t mask, uint32_t live) {
  const uint32_t now = advance();
  if ((live & ~mask) == 0) {
    lanes_met_[warp] = now;
    update_limit(warp);
    return;
  }
  auto& pairs = lane_pairs_[warp];
  if (pairs.empty()) pairs.assign(32 * 32, 0);
  for (uint32_t a = 0; a < 32; ++a)
    for (uint32_t b = 0; b < 32; ++b)
      if (mask >> a & mask >> b & 1) pairs[32 * a + b] = now;
}

bool SharedShadow::ordered(uint32_t stamp, uint32_t warp, int lane) const {
  const uint32_t who = stamp & ((1u << who_bits) - 1), time = stamp >> who_bits & last_time;
  if (stamp < limits_[warp] || who == who_of(warp, lane)) return true;
  if (who >= several_warps) return false;
  const uint32_t other = who >= matrix_of ? who - matrix_of : who >= several_lanes ? who - several_lanes : who / 32;
  if (other != warp) return time < met(warp, other);
  // All lanes took part in a matrix load of their warp, so it comes before what any of them does later.
  if (who >= matrix_of || time < lanes_met_[warp]) return true;
  if (who >= several_lanes || lane == whole_warp || lane_pairs_[warp].empty()) return false;
  return time < lane_pairs_[warp][32 * (who % 32) + static_cast<uint32_t>(lane)];
}

SharedShadow::Breach SharedShadow::check_read(uint32_t cell, uint32_t warp, int lane) {
  const uint32_t written = writes_[cell];
  if (written == 0) return Breach::uninitialised;
  other_stamp_ = written;
  other_wrote_ = true;
  if (written & in_flight) return Breach::in_flight;
  return ordered(written, warp, lane) ? Breach::none : Breach::race;
}

SharedShadow::Breach SharedShadow::check_write(uint32_t cell, uint32_t warp, int lane) {
  const uint32_t written = writes_[cell], read = reads_[cell];
  other_stamp_ = written;
  other_wrote_ = true;
  if (written & in_flight) return Breach::in_flight;
  if (written && !ordered(written, warp, lane)) return Breach::race;
  other_stamp_ = read;
  other_wrote_ = false;
  return read && !ordered(read, warp, lane) ? Breach::race : Breach::none;
}

uint32_t SharedShadow::merged_read(uint32_t cell, uint32_t warp, int lane) const {
  const uint32_t stamp = reads_[cell], who = stamp & ((1u << who_bits) - 1);
  if (who == several_warps) return time_ << who_bits | several_warps;
  if (who == who_of(warp, lane)) return stamp_of(warp, lane);
  const uint32_t other = who >= matrix_of ? who - matrix_of : who >= several_lanes ? who - several_lanes : who / 32;
  if (other != warp) {
    // An earlier read that is ordered before this one is ordered before whatever comes after this one.
    return ordered(stamp, warp, lane) ? stamp_of(warp, lane) : time_ << who_bits | several_warps;
  }
  return time_ << who_bits | (several_lanes + warp);
}

SharedShadow::Breach SharedShadow::atomic(uint32_t offset, uint32_t bytes, uint32_t warp, int lane) {
  Breach breach = Breach::none;
  for (uint32_t cell = offset >> shift_; cell < (offset + bytes) >> shift_; ++cell) {
    const uint32_t written = writes_[cell];
    const bool by_atomic = (written & ((1u << who_bits) - 1)) == atomics && !(written & in_flight);
    if (breach == Breach::none && !by_atomic) breach = check_read(cell, warp, lane);
    if (breach == Breach::none && reads_[cell] && !ordered(reads_[cell], warp, lane)) {
      other_stamp_ = reads_[cell];
      other_wrote_ = false;
      breach = Breach::race;
    }
    writes_[cell] = time_ << who_bits | atomics;
  }
  return breach;
}

SharedShadow::Breach SharedShadow::begin_copy(uint32_t offset, uint32_t bytes, uint32_t warp, int lane) {
  const Breach breach = write(offset, bytes, warp, lane);
  for (uint32_t cell = offset >> shift_; cell < (offset + bytes) >> shift_; ++cell) writes_[cell] |= in_flight;
  return breach;
}

void SharedShadow::land(uint32_t offset, uint32_t bytes, uint32_t warp, int lane) {
  for (uint32_t cell = offset >> shift_; cell < (offset + bytes) >> shift_; ++cell) writes_[cell] = stamp_of(warp, lane);
}

std::string SharedShadow::other_party() const {
  const uint32_t who = other_stamp_ & ((1u << who_bits) - 1);
  const char* did = other_stamp_ & in_flight ? "being copied to by " : other_wrote_ ? "written by " : "read by ";
  if (who == atomics) return concat(did, "atomics");
  if (who == several_warps) return concat(did, "several warps");
  if (who >= matrix_of) return concat(did, "ldmatrix of warp ", who - matrix_of);
  if (who >= several_lanes) return concat(did, "several lanes of warp ", who - several_lanes);
  return concat(did, "warp ", who / 32, ", lane ", who % 32);
}

}  // namespace sightline::emulator
