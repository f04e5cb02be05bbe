#pragma once

#include <cstdint>

#include "io/safetensors_header.h"

namespace sightline {

/** Whether elements of this type become fp32: F32, F64, F16 or BF16. */
bool holds_floats(Dtype dtype);

/**
 * Elements of a file as fp32. F16 and BF16 convert exactly, F64 is rounded to nearest, ties to even.
 *
 * @param from   `count` elements, at any address
 * @param dtype  one that `holds_floats`
 * @param out    (count), written
 */
void load_floats(const char* from, Dtype dtype, float* out, uint64_t count);

/**
 * fp32 as elements of a file: F32 as they are; BF16 and F16 rounded to nearest, ties to even, what is too large for them becoming
 * infinite, NaN staying NaN.
 *
 * @param dtype  F32, BF16 or F16
 * @param to     room for `count` elements, at any address, written
 */
void store_floats(const float* from, Dtype dtype, char* to, uint64_t count);

}  // namespace sightline
