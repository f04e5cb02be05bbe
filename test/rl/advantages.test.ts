import { describe, expect, test } from "vitest";
import { normalizeAdvantages } from "../../src/rl/advantages.js";

describe("normalizeAdvantages", () => {
  test("divides by the unbiased standard deviation", () => {
    // Mean 2, squares 1 + 0 + 1 over n - 1 = 2: std 1.
    expect([...normalizeAdvantages(Float64Array.of(1, 2, 3), 0)]).toEqual([-1, 0, 1]);
  });

  test("divides by the floor where the spread is smaller", () => {
    expect([...normalizeAdvantages(Float64Array.of(1, 2, 3), 4)]).toEqual([-0.25, 0, 0.25]);
  });

  test("adds the epsilon to what it divides by", () => {
    expect([...normalizeAdvantages(Float64Array.of(1, 2, 3), 0, 3)]).toEqual([-0.25, 0, 0.25]);
    expect([...normalizeAdvantages(Float64Array.of(5, 5), 0, 1e-5)]).toEqual([0, 0]);
  });

  test("gives zeros for equal advantages, for a single one, and nothing for none", () => {
    expect([...normalizeAdvantages(Float64Array.of(5, 5), 0)]).toEqual([0, 0]);
    expect([...normalizeAdvantages(Float64Array.of(5), 0)]).toEqual([0]);
    expect([...normalizeAdvantages(new Float64Array(0), 0)]).toEqual([]);
  });

  test("leaves its argument alone", () => {
    const advantages = Float64Array.of(1, 2, 3);
    normalizeAdvantages(advantages, 0);
    expect([...advantages]).toEqual([1, 2, 3]);
  });
});
