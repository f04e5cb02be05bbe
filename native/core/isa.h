#pragma once

#include <string>
#include <vector>

namespace sightline {

/** Instruction-set paths: the same op sources, compiled for each. */
enum class Isa { portable, avx2, avx512, avx512_bf16 };

const char* isa_name(Isa isa);

/** The paths that this binary has and this CPU can run, weakest first. */
std::vector<Isa> available_isas();

/**
 * The path to use: `requested` ("portable", "avx2", "avx512", "avx512_bf16"), else the environment variable SIGHTLINE_CPU, else the
 * strongest available.
 * @throws invalid_argument for an unknown name, unsupported for a path this CPU or build lacks
 */
Isa select_isa(const std::string& requested);

}  // namespace sightline
