import { expect, test } from "vitest";
import { geometricMean, quantile, summarize } from "../../bench/statistics.js";

test("quantiles interpolate between order statistics, whatever the order of the sample", () => {
  const sample = [40, 10, 30, 20];
  expect([0, 0.25, 0.5, 0.75, 1].map((q) => quantile(sample, q))).toEqual([10, 17.5, 25, 32.5, 40]);
  expect(sample).toEqual([40, 10, 30, 20]);
  expect(quantile([7], 0.75)).toBe(7);
});

test("a summary is the median and the distance between the quartiles over it", () => {
  expect(summarize([1, 2, 3, 4, 100])).toEqual({ median: 3, spread: 2 / 3 });
  expect(summarize([5])).toEqual({ median: 5, spread: 0 });
});

test("the geometric mean of a ratio and its inverse is 1", () => {
  expect(geometricMean([4, 0.25])).toBeCloseTo(1, 12);
  expect(geometricMean([2, 8])).toBeCloseTo(4, 12);
});
