import { describe, expect, test } from "vitest";
import { explainedVariance, Mean, moments } from "../../src/rl/statistics.js";

describe("Mean", () => {
  test("is undefined until a number arrives", () => {
    const mean = new Mean();
    expect(mean.value).toBeUndefined();
    mean.add(1);
    mean.add(4);
    expect(mean.value).toBe(2.5);
  });
});

describe("moments", () => {
  test("keeps the variance of numbers far from zero", () => {
    expect(moments([1e9 + 1, 1e9 + 2, 1e9 + 3])).toEqual({ mean: 1e9 + 2, variance: 1 });
  });
});

describe("explainedVariance", () => {
  const returns = Float64Array.of(1, 2, 3, 4);

  test("is 1 for a perfect critic, 0 for a constant one, negative for a harmful one", () => {
    expect(explainedVariance(returns, returns)).toBe(1);
    expect(explainedVariance(Float64Array.of(7, 7, 7, 7), returns)).toBe(0);
    expect(explainedVariance(Float64Array.of(4, 3, 2, 1), returns)).toBeCloseTo(-3, 12);
  });

  test("is undefined where the returns do not vary", () => {
    expect(explainedVariance(Float64Array.of(1, 2), Float64Array.of(5, 5))).toBeUndefined();
  });
});
