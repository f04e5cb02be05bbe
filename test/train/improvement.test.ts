import { describe, expect, test } from "vitest";
import { deriveKey, Random } from "../../src/random.js";
import { differenceOf, type Estimate } from "../../src/train/improvement.js";
import { wilsonInterval } from "../../src/train/wilson-interval.js";

const rate = (successes: number, trials: number): Estimate => ({
  value: successes / trials,
  interval: wilsonInterval(successes, trials),
});

describe("differenceOf", () => {
  // Newcombe 1998, Statistics in Medicine 17, table II, method 10.
  test.each([
    [56, 70, 48, 80, [0.0524, 0.3339], "better"],
    [9, 10, 3, 10, [0.1705, 0.809], "better"],
    [10, 10, 0, 20, [0.6791, 1], "better"],
    [6, 7, 2, 7, [0.0582, 0.8062], "better"],
    [5, 56, 0, 29, [-0.0381, 0.1926], "unclear"],
  ] as const)("agrees with the published interval of %d/%d - %d/%d", (a, m, b, n, interval, verdict) => {
    const difference = differenceOf(rate(a, m), rate(b, n));
    expect(difference.value).toBeCloseTo(a / m - b / n, 12);
    expect(difference.interval[0]).toBeCloseTo(interval[0], 4);
    expect(difference.interval[1]).toBeCloseTo(interval[1], 4);
    expect(difference.verdict).toBe(verdict);
  });

  test("turns around with its arguments", () => {
    const [high, low] = [rate(56, 70), rate(48, 80)];
    const [forth, back] = [differenceOf(high, low), differenceOf(low, high)];
    expect(back.value).toBe(-forth.value);
    expect(back.interval[0]).toBeCloseTo(-forth.interval[1], 12);
    expect(back.verdict).toBe("worse");
  });

  test("finds a difference between equal policies in 1 of 20 panels, and rarely misses one of 20 points", () => {
    const random = new Random(deriveKey(6));
    const play = (chance: number): Estimate => {
      let successes = 0;
      for (let episode = 0; episode < 300; episode++) if (random.uniform() < chance) successes += 1;
      return rate(successes, 300);
    };
    const trials = 1000;
    let [mistaken, missed] = [0, 0];
    for (let trial = 0; trial < trials; trial++) {
      if (differenceOf(play(0.3), play(0.3)).verdict !== "unclear") mistaken += 1;
      if (differenceOf(play(0.5), play(0.3)).verdict !== "better") missed += 1;
    }
    expect(mistaken / trials).toBeLessThan(0.05 + 3 * Math.sqrt((0.05 * 0.95) / trials));
    expect(mistaken / trials).toBeGreaterThan(0.05 - 3 * Math.sqrt((0.05 * 0.95) / trials));
    expect(missed / trials).toBeLessThan(0.01);
  });
});
