import { describe, expect, test } from "vitest";
import { cosineSchedule } from "../../src/rl/schedule.js";

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
