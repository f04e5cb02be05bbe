#pragma once

#include <functional>
#include <string>

#include "addon/testing/array_places.h"
#include "ops/device.h"

namespace sightline {

/** The name that tests know the emulated GPU by, beside those of the CPU's instruction-set paths. */
inline constexpr const char* emulated_backend = "cuda-emulated";

/** What the emulator has to say about the calling thread's and the device's last failure; empty when it has nothing to say. */
std::string emulator_explanation();

/**
 * Runs one op on a GPU that the emulator makes anew for it, with all its checks, warps interleaved at random, and a seed of
 * its own for every call of the process.
 *
 * @param threads  of the interpreter
 * @param op       runs the op on the device, with arguments from the places given
 * @throws Error with what the emulator found
 */
void run_emulated(int threads, const std::function<void(Device& device, ArrayPlaces& places)>& op);

}  // namespace sightline
