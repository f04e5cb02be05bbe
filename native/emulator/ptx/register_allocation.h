#pragma once

#include <vector>

#include "emulator/ptx/program.h"

namespace sightline::emulator {

/**
 * Renumbers the registers of a decoded kernel so that those that are never live together share a slot. nvcc writes PTX in single
 * assignment form, thousands of registers; a warp's register file of that size would fall out of the cache. Results do not change:
 * a register keeps its lanes from its first write to its last read.
 *
 * @param widths by slot, the width of the register that begins there
 */
void allocate_registers(Kernel& kernel, const std::vector<Width>& widths);

}  // namespace sightline::emulator
