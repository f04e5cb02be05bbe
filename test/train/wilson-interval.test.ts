import { describe, expect, test } from "vitest";
import { wilsonInterval } from "../../src/train/wilson-interval.js";

describe("wilsonInterval", () => {
  test("agrees with published values", () => {
    // Newcombe 1998, Statistics in Medicine 17, table I, method 3 (score, no continuity correction).
    const published: [number, number, number, number][] = [
      [81, 263, 0.2553, 0.3662],
      [15, 148, 0.0624, 0.1605],
      [0, 20, 0, 0.1611],
      [1, 29, 0.0061, 0.1718],
    ];
    for (const [successes, trials, lower, upper] of published) {
      const interval = wilsonInterval(successes, trials);
      expect(interval[0]).toBeCloseTo(lower, 4);
      expect(interval[1]).toBeCloseTo(upper, 4);
    }
  });

  test("is symmetric in successes and failures", () => {
    const [lower, upper] = wilsonInterval(3, 40);
    const [mirroredLower, mirroredUpper] = wilsonInterval(37, 40);
    expect(mirroredLower).toBeCloseTo(1 - upper, 12);
    expect(mirroredUpper).toBeCloseTo(1 - lower, 12);
  });

  test("ends exactly at 0 and 1 where nothing or all succeeded, and knows nothing without trials", () => {
    expect(wilsonInterval(0, 300)[0]).toBe(0);
    expect(wilsonInterval(300, 300)[1]).toBe(1);
    expect(wilsonInterval(0, 0)).toEqual([0, 1]);
  });
});
