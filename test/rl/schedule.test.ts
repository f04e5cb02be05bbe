import { describe, expect, test } from "vitest";
import { cosineSchedule, periodicCosine } from "../../src/rl/schedule.js";

const fall = { initial: 2, final: 1 };

describe("cosineSchedule", () => {
  test("starts at the initial value, passes half way in the middle and ends at the final one", () => {
    expect(cosineSchedule(0, 5, fall)).toBe(2);
    expect(cosineSchedule(2, 5, fall)).toBeCloseTo(1.5, 12);
    expect(cosineSchedule(4, 5, fall)).toBe(1);
  });

  test("rises linearly during the warm-up and reaches the initial value right after it", () => {
    const warm = { ...fall, warmupSteps: 3 };
    expect([0, 1, 2, 3].map((step) => cosineSchedule(step, 6, warm))).toEqual([0.5, 1, 1.5, 2]);
    expect(cosineSchedule(5, 6, warm)).toBe(1);
  });

  test("keeps the initial value where nothing is left to fall over", () => {
    expect(cosineSchedule(0, 1, fall)).toBe(2);
    expect(cosineSchedule(2, 3, { ...fall, warmupSteps: 2 })).toBe(2);
  });

  test.each([-1, 5, Number.NaN])("refuses step %d of 5", (step) => {
    expect(() => cosineSchedule(step, 5, fall)).toThrow(/^step: expected a number in \[0, 5\)/);
  });
});

test("the cosine falls slowly at first", () => {
  expect(cosineSchedule(1, 5, fall)).toBeCloseTo(1 + 0.5 * (1 + Math.SQRT1_2), 12);
});

describe("periodicCosine", () => {
  const rate = (update: number, ranks: number) =>
    periodicCosine(update * ranks, 25, { initial: 1e-5, final: 1e-9 });

  // The rates of the reference's run at an update, which its scheduler reaches in as many steps per update as there are GPUs.
  test.each([
    [1, 0, "1.00e-5"],
    [1, 5, "9.05e-6"],
    [1, 10, "6.55e-6"],
    [1, 15, "3.46e-6"],
    [1, 20, "9.56e-7"],
    [1, 25, "1e-9"],
    [1, 26, "4.04e-8"],
    [1, 27, "1.58e-7"],
    [1, 28, "3.52e-7"],
    [2, 12, "4.0e-8"],
    [2, 13, "4.0e-8"],
    [2, 25, "1.0e-5"],
    [4, 0, "1e-5"],
    [4, 1, "9.38e-6"],
    [4, 2, "7.68e-6"],
    [4, 3, "5.31e-6"],
    [4, 4, "2.87e-6"],
    [4, 5, "9.6e-7"],
    [4, 6, "4.0e-8"],
    [4, 7, "3.5e-7"],
    [4, 8, "1.8e-6"],
    [4, 9, "4.1e-6"],
    [4, 10, "6.5e-6"],
    [4, 11, "8.6e-6"],
    [4, 12, "9.84e-6"],
    [4, 19, "4.0e-8"],
    [4, 25, "1e-5"],
  ])("on %d GPUs is at update %d what the reference has", (ranks, update, expected) => {
    const digits = expected.replace(/e.*/, "").replace(/^\d\.?/, "").length;
    expect(rate(update, ranks).toExponential(digits)).toBe(expected);
  });

  test("is lowest at update 6 and 19 on four GPUs, and at 12 and 13 alike on two", () => {
    const lowest = (ranks: number, updates: number[]) =>
      updates.reduce((best, update) => (rate(update, ranks) < rate(best, ranks) ? update : best));
    expect(lowest(4, [...Array(13).keys()])).toBe(6);
    expect(lowest(4, [13, 14, 15, 16, 17, 18, 19, 20, 21, 22])).toBe(19);
    expect(rate(12, 2)).toBeCloseTo(rate(13, 2), 15);
  });
});
