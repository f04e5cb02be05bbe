import { describe, expect, test } from "vitest";
import { deriveKey, Random } from "../../src/random.js";
import { meanInterval, studentQuantile95 } from "../../src/train/mean-interval.js";

describe("studentQuantile95", () => {
  // Table of Student's distribution, as printed in any textbook.
  test.each([
    [1, 12.706],
    [2, 4.303],
    [3, 3.182],
    [4, 2.776],
    [9, 2.262],
    [10, 2.228],
    [30, 2.042],
    [99, 1.984],
    [100, 1.984],
    [1_000_000, 1.96],
  ])("of %d degrees of freedom is %d", (degrees, quantile) => {
    expect(studentQuantile95(degrees)).toBeCloseTo(quantile, 3);
  });

  test("meets the closed forms of one and two degrees of freedom to the last digits", () => {
    expect(studentQuantile95(1)).toBeCloseTo(Math.tan(0.475 * Math.PI), 12);
    expect(studentQuantile95(2)).toBeCloseTo(0.95 * Math.sqrt(2 / (1 - 0.95 ** 2)), 12);
  });
});

describe("meanInterval", () => {
  test("is worked out by hand for three values", () => {
    const { mean, interval } = meanInterval([1, 2, 6]);
    // s^2 = (4 + 1 + 9) / 2 = 7.
    const margin = 0.95 * Math.sqrt(2 / (1 - 0.95 ** 2)) * Math.sqrt(7 / 3);
    expect(mean).toBe(3);
    expect(interval[0]).toBeCloseTo(3 - margin, 12);
    expect(interval[1]).toBeCloseTo(3 + margin, 12);
  });

  test("of one value is that value", () => {
    expect(meanInterval([4])).toEqual({ mean: 4, interval: [4, 4] });
  });

  test("covers the true mean of 300 returns of NumberLine's kind 95 times in 100", () => {
    const random = new Random(deriveKey(5));
    // Three in ten end at 1, the others at -1 to -10: mean 0.3 - 0.7 * 5.5.
    const draw = () => (random.uniform() < 0.3 ? 1 : -1 - random.integer(10));
    const trials = 2000;
    let covered = 0;
    for (let trial = 0; trial < trials; trial++) {
      const [lower, upper] = meanInterval(Array.from({ length: 300 }, draw)).interval;
      if (lower <= -3.55 && -3.55 <= upper) covered += 1;
    }
    // Three standard errors of a share of 0.95 among 2000.
    expect(Math.abs(covered / trials - 0.95)).toBeLessThan(0.0147);
  });
});
