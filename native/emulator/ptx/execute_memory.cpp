#include <bit>
#include <cstring>

#include "emulator/ptx/block.h"
#include "emulator/ptx/traffic_counter.h"

namespace sightline::emulator {
namespace {

/** Loads or stores elements of type `Element` between memory and registers whose lanes are of type `Lane`. */
template <class Element, class Lane, bool is_load>
void move_elements(const Registers& registers, const Instruction& instruction, uint32_t mask, uint8_t* const (&pointers)[32]) {
  for (uint32_t element = 0; element < instruction.elements; ++element) {
    Lane* lanes = registers.lanes<Lane>(is_load ? instruction.destination[element] : instruction.source[element]);
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      uint8_t* at = pointers[lane] + element * sizeof(Element);
      if constexpr (is_load) {
        Element value;
        std::memcpy(&value, at, sizeof value);
        lanes[lane] = static_cast<Lane>(value);
      } else {
        const Element value = static_cast<Element>(lanes[lane]);
        std::memcpy(at, &value, sizeof value);
      }
    }
  }
}

}  // namespace

void Block::addresses_of(const Warp& warp, const Address& address, Addresses& addresses) const {
  const auto offset = static_cast<uint64_t>(address.offset);
  if (address.wide) {
    const uint64_t* base = warp.registers.lanes<uint64_t>(address.base);
    for (int lane = 0; lane < 32; ++lane) addresses[lane] = base[lane] + offset;
  } else {
    const uint32_t* base = warp.registers.lanes<uint32_t>(address.base);
    for (int lane = 0; lane < 32; ++lane) addresses[lane] = static_cast<uint32_t>(base[lane] + offset);
  }
}

void Block::move_lanes(const Warp& warp, const Instruction& instruction, uint32_t mask, uint8_t* const (&pointers)[32]) const {
  const Registers& registers = warp.registers;
  const bool is_signed = instruction.sign_extended;
  if (instruction.action == Action::store) {
    switch (instruction.bytes) {
      case 1:
        return instruction.widened ? move_elements<uint8_t, uint64_t, false>(registers, instruction, mask, pointers)
                                   : move_elements<uint8_t, uint32_t, false>(registers, instruction, mask, pointers);
      case 2:
        return instruction.widened ? move_elements<uint16_t, uint64_t, false>(registers, instruction, mask, pointers)
                                   : move_elements<uint16_t, uint32_t, false>(registers, instruction, mask, pointers);
      case 4:
        return instruction.widened ? move_elements<uint32_t, uint64_t, false>(registers, instruction, mask, pointers)
                                   : move_elements<uint32_t, uint32_t, false>(registers, instruction, mask, pointers);
      default: return move_elements<uint64_t, uint64_t, false>(registers, instruction, mask, pointers);
    }
  }
  if (instruction.widened) {
    switch (instruction.bytes) {
      case 1:
        return is_signed ? move_elements<int8_t, uint64_t, true>(registers, instruction, mask, pointers)
                         : move_elements<uint8_t, uint64_t, true>(registers, instruction, mask, pointers);
      case 2:
        return is_signed ? move_elements<int16_t, uint64_t, true>(registers, instruction, mask, pointers)
                         : move_elements<uint16_t, uint64_t, true>(registers, instruction, mask, pointers);
      default:
        return is_signed ? move_elements<int32_t, uint64_t, true>(registers, instruction, mask, pointers)
                         : move_elements<uint32_t, uint64_t, true>(registers, instruction, mask, pointers);
    }
  }
  switch (instruction.bytes) {
    case 1:
      return is_signed ? move_elements<int8_t, uint32_t, true>(registers, instruction, mask, pointers)
                       : move_elements<uint8_t, uint32_t, true>(registers, instruction, mask, pointers);
    case 2:
      return is_signed ? move_elements<int16_t, uint32_t, true>(registers, instruction, mask, pointers)
                       : move_elements<uint16_t, uint32_t, true>(registers, instruction, mask, pointers);
    case 4: return move_elements<uint32_t, uint32_t, true>(registers, instruction, mask, pointers);
    default: return move_elements<uint64_t, uint64_t, true>(registers, instruction, mask, pointers);
  }
}

void Block::access(Warp& warp, const Instruction& instruction, uint32_t mask) {
  Addresses addresses;
  addresses_of(warp, instruction.address, addresses);
  if (instruction.space == Space::shared) return access_shared(warp, instruction, mask, addresses);
  if (instruction.space == Space::generic) {
    uint32_t in_shared = 0;
    for (int lane = 0; lane < 32; ++lane)
      in_shared |= static_cast<uint32_t>(addresses[lane] - shared_window < (uint64_t{1} << 32)) << lane;
    if (in_shared & mask) {
      Addresses offsets;
      for (int lane = 0; lane < 32; ++lane) offsets[lane] = addresses[lane] - shared_window;
      access_shared(warp, instruction, mask & in_shared, offsets);
      mask &= ~in_shared;
    }
  }
  if (mask) access_global(warp, instruction, mask, addresses);
}

void Block::access_global(Warp& warp, const Instruction& instruction, uint32_t mask, const Addresses& addresses) {
  const uint32_t bytes = instruction.bytes * instruction.elements;
  const bool is_load = instruction.action == Action::load;
  mask = check_global(warp, instruction, mask, addresses, bytes, is_load, !is_load);
  if (!mask) return;
  if (instruction.space != Space::constant) {
    ++traffic_.global_requests;
    (is_load ? traffic_.global_bytes_read : traffic_.global_bytes_written) += bytes * static_cast<uint32_t>(std::popcount(mask));
    if (context_.checks.count_traffic) count_sectors(addresses, mask, bytes, traffic_);
  }
  uint8_t* pointers[32];
  for (int lane = 0; lane < 32; ++lane) pointers[lane] = reinterpret_cast<uint8_t*>(addresses[lane]);
  move_lanes(warp, instruction, mask, pointers);
}

void Block::access_shared(Warp& warp, const Instruction& instruction, uint32_t mask, const Addresses& offsets) {
  const uint32_t bytes = instruction.bytes * instruction.elements;
  const bool is_load = instruction.action == Action::load;
  mask = check_shared(warp, instruction, mask, offsets, bytes);
  if (!mask) return;
  if (shadowed()) {
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      const auto offset = static_cast<uint32_t>(offsets[lane]);
      const auto breach =
          is_load ? shadow_.read(offset, bytes, warp.index, lane) : shadow_.write(offset, bytes, warp.index, lane);
      if (breach != SharedShadow::Breach::none)
        report_breach(breach, is_load ? "read" : "write", warp, instruction, lane, offset);
    }
  }
  if (context_.checks.count_traffic) count_wavefronts(offsets, mask, bytes, traffic_);
  uint8_t* pointers[32];
  for (uint32_t rest = mask; rest; rest &= rest - 1)
    pointers[std::countr_zero(rest)] = shared_.data() + offsets[std::countr_zero(rest)];
  move_lanes(warp, instruction, mask, pointers);
}

void Block::load_parameter(Warp& warp, const Instruction& instruction, uint32_t mask) {
  Addresses offsets;
  addresses_of(warp, instruction.address, offsets);
  const uint64_t bytes = instruction.bytes * instruction.elements, size = context_.parameters.size();
  uint8_t* pointers[32];
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (offsets[lane] >= size || bytes > size - offsets[lane]) {
      findings_.report(FindingKind::out_of_bounds, instruction, warp.index, lane,
                       concat("a load at offset ", offsets[lane], " of ", size, " bytes of kernel parameters"));
      mask &= ~(1u << lane);
      continue;
    }
    pointers[lane] = const_cast<uint8_t*>(context_.parameters.data()) + offsets[lane];
  }
  move_lanes(warp, instruction, mask, pointers);
}

void Block::load_matrix(Warp& warp, const Instruction& instruction) {
  // Lanes 8k to 8k + 7 give the addresses of the rows of matrix k.
  const uint32_t matrices = instruction.elements, mask = matrices == 4 ? ~0u : (1u << 8 * matrices) - 1;
  Addresses offsets;
  addresses_of(warp, instruction.address, offsets);
  if (offsets[0] >= shared_window)
    for (uint64_t& offset : offsets) offset -= shared_window;
  if (check_shared(warp, instruction, mask, offsets, 16) != mask) return;
  if (shadowed()) {
    for (uint32_t lane = 0; lane < 8 * matrices; ++lane) {
      const auto breach = shadow_.read(static_cast<uint32_t>(offsets[lane]), 16, warp.index, SharedShadow::whole_warp);
      if (breach != SharedShadow::Breach::none)
        report_breach(breach, "read by ldmatrix", warp, instruction, static_cast<int>(lane), offsets[lane]);
    }
  }
  if (context_.checks.count_traffic) count_wavefronts(offsets, mask, 16, traffic_);
  for (uint32_t matrix = 0; matrix < matrices; ++matrix) {
    uint32_t* destination = warp.registers.lanes<uint32_t>(instruction.destination[matrix]);
    const uint64_t* rows = offsets + 8 * matrix;
    if (!instruction.flag) {
      // Lane 4 r + c receives elements 2 c and 2 c + 1 of row r.
      for (int row = 0; row < 8; ++row) std::memcpy(destination + 4 * row, shared_.data() + rows[row], 16);
      continue;
    }
    uint16_t elements[8][8];
    for (int row = 0; row < 8; ++row) std::memcpy(elements[row], shared_.data() + rows[row], 16);
    for (int lane = 0; lane < 32; ++lane) {
      const int column = lane >> 2, row = 2 * (lane & 3);
      destination[lane] = elements[row][column] | static_cast<uint32_t>(elements[row + 1][column]) << 16;
    }
  }
}

}  // namespace sightline::emulator
