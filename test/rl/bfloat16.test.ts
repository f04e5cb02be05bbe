import { describe, expect, test } from "vitest";
import { roundToBfloat16 } from "../../src/rl/bfloat16.js";

describe("roundToBfloat16", () => {
  test.each([
    [0, 0],
    [1, 1],
    [-37.6, -37.5],
    [-37.7, -37.75],
    [-0.4, -0.400390625],
    // Half-way between two: the one whose last bit is 0.
    [1 + 2 ** -8, 1],
    [1 + 3 * 2 ** -8, 1 + 2 ** -6],
    [1 + 2 ** -8 + 2 ** -20, 1 + 2 ** -7],
    [3.4e38, Number.POSITIVE_INFINITY],
    [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
    [Number.NaN, Number.NaN],
  ])("of %d is %d", (x, expected) => {
    expect(roundToBfloat16(x)).toBe(expected);
  });

  test("changes nothing the second time, and errs by at most half a unit", () => {
    for (let i = 1; i < 2000; i++) {
      const x = -Math.exp((i - 1000) / 50);
      const rounded = roundToBfloat16(x);
      expect(roundToBfloat16(rounded)).toBe(rounded);
      const unit = 2 ** (Math.floor(Math.log2(-x)) - 7);
      expect(Math.abs(rounded - x)).toBeLessThanOrEqual((unit / 2) * (1 + 1e-6));
    }
  });
});
