#pragma once

#include <string>
#include <vector>

namespace sightline {

/** Instruction-set paths: the same op sources, compiled for each. */
enum class Isa { portable, avx2, avx512, avx512_bf16 };

const char* isa_name(Isa isa);

/** The paths that this binary has and this CPU can run, weakest first. */
std::vector<Isa> available_isas();

/** Whether this CPU multiplies pairs of bf16 numbers and adds them in fp32 in one instruction (AVX512-BF16). */
bool has_bf16_dot_products();

/**
 * The path to use: `requested` ("portable", "avx2", "avx512", "avx512_bf16"), else the environment variable SIGHTLINE_CPU, else the
 * strongest available.
 * @throws invalid_argument for an unknown name, unsupported for a path this CPU or build lacks
 */
Isa select_isa(const std::string& requested);

}  // namespace sightline
