#pragma once

#include <cstdint>

#include "core/elements.h"
#include "core/fields.h"
#include "core/mirrored.h"

namespace sightline {

/**
 * y = d(x), or y += d(x), where d sets elements to zero with probability `rate` and multiplies the others by 1 / (1 - rate), so that
 * their expectation stays. Element (row, c) is kept where its random word is at least rate * 2^32:
 *
 *   word (c / 16) % 4 of philox({16 (c / 64) + c % 16, module, positions[row], 2}, keys[row])
 *
 * that is, one block of four words serves the columns 16 apart of a run of 64, so that neighbours come from neighbouring counters. What
 * is dropped follows from a row's key and position and from the module alone: nothing of it is stored, and since d is its own
 * transpose, the same call takes gradients back. The counter's last word keeps these numbers apart from those of other purposes.
 *
 * @param x          (N, C) read, fp32 or bf16
 * @param y          (N, C) written or added to, of x's type; may be x
 * @param keys       (N, 2) Philox key of each row
 * @param positions  (N) of each row under its key
 * @param module     which of the places in the model that drop something this is; in [0, 2^32)
 * @param rate       in [0, 1)
 * @param accumulate adds to y
 * Numerics: 1 / (1 - rate) in double, rounded to fp32; the product in fp32, then the sum, rounded once more where y is stored as
 * bf16. What is dropped is 0, whatever x holds there. The same bits on every backend.
 * Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting"; Salmon et al. 2011 (Philox).
 */
struct DropoutArgs {
  ConstElements x;
  Elements y;
  Mirrored<uint32_t> keys;
  Mirrored<int32_t> positions;
  int64_t rows, columns, module;
  float rate;
  bool accumulate;
  SIGHTLINE_FIELDS(x, y, keys, positions, rows, columns, module, rate, accumulate)

  /** Columns whose words come from counters that follow each other, and how many of these columns one word position serves. */
  static constexpr int64_t run = 64, stride = 16;
  /** Last word of the counter. */
  static constexpr uint32_t purpose = 2;

  /** Random words below it are dropped. */
  SIGHTLINE_ALWAYS_INLINE uint32_t threshold() const { return static_cast<uint32_t>(static_cast<double>(rate) * 0x1p32); }
  /** Factor on what is kept. */
  SIGHTLINE_ALWAYS_INLINE float scale() const { return static_cast<float>(1.0 / (1.0 - static_cast<double>(rate))); }
};

}  // namespace sightline
