import { describe, expect, test } from "vitest";
import { clippedSurrogate, klK3, klK3Gradient, valueLoss } from "../../src/rl/ppo-objective.js";

/** df/dx by central differences. */
function slope(f: (x: number) => number, x: number): number {
  const h = 1e-6;
  return (f(x + h) - f(x - h)) / (2 * h);
}

/** The objective as the papers write it, term by term. */
function literalSurrogate(ratio: number, advantage: number, epsilon: number, dualClip?: number): number {
  const clip = Math.min(Math.max(ratio, 1 - epsilon), 1 + epsilon);
  const objective = Math.min(ratio * advantage, clip * advantage);
  return dualClip !== undefined && advantage < 0 ? Math.max(objective, dualClip * advantage) : objective;
}

const oldLogProb = -3.25;
const ratios = [0.01, 0.5, 0.89, 0.91, 1, 1.05, 1.09, 1.11, 2, 2.99, 3.01, 50];
const cases = ratios.flatMap((ratio) =>
  [-2, -0.5, 0, 0.5, 2].flatMap((advantage) =>
    [undefined, 3].map((dualClip) => ({ ratio, advantage, dualClip })),
  ),
);

describe("clippedSurrogate", () => {
  test.each(cases)(
    "agrees with the papers and with finite differences at $ratio, $advantage, $dualClip",
    (c) => {
      const bounds = { clipRange: 0.1, dualClip: c.dualClip };
      const surrogate = (x: number) => clippedSurrogate(x, oldLogProb, c.advantage, bounds);
      const at = oldLogProb + Math.log(c.ratio);
      const { loss, gradient, ratio, clipped } = surrogate(at);
      expect(ratio).toBeCloseTo(c.ratio, 10);
      expect(loss).toBeCloseTo(-literalSurrogate(c.ratio, c.advantage, 0.1, c.dualClip), 10);
      expect(gradient).toBeCloseTo(
        slope((x) => surrogate(x).loss, at),
        6,
      );
      if (c.advantage !== 0) expect(clipped).toBe(gradient === 0);
    },
  );

  test("gives the numbers computed by hand", () => {
    const at = (ratio: number, advantage: number) =>
      clippedSurrogate(Math.log(ratio), 0, advantage, { clipRange: 0.2, dualClip: 3 });
    expect(at(1, 1.5)).toEqual({ loss: -1.5, gradient: -1.5, ratio: 1, clipped: false });
    expect(at(1.5, 2)).toMatchObject({ loss: -2.4, clipped: true });
    expect(at(0.5, 2)).toMatchObject({ loss: -1, gradient: -1, clipped: false });
    expect(at(0.5, -2)).toMatchObject({ loss: 1.6, clipped: true });
    expect(at(2, -2)).toMatchObject({ loss: 4, gradient: 4, clipped: false });
    expect(at(5, -2)).toMatchObject({ loss: 6, clipped: true });
  });

  test("with c = 10 has the gradient of the reference's rule for ratios above 10", () => {
    // The rule: where the ratio exceeds 10, only the clipped term counts, which does not depend on the ratio.
    const rule = (ratio: number, advantage: number) => {
      const isOutside = advantage >= 0 ? ratio > 1.1 : ratio < 0.9;
      return isOutside || ratio > 10 ? 0 : -ratio * advantage;
    };
    for (const ratio of [0.5, 0.95, 1, 1.05, 2, 9.99, 10.01, 1e6]) {
      for (const advantage of [-2, 2]) {
        const bounds = { clipRange: 0.1, dualClip: 10 };
        expect(clippedSurrogate(Math.log(ratio), 0, advantage, bounds).gradient).toBeCloseTo(
          rule(ratio, advantage),
          9,
        );
      }
    }
  });

  test("stays finite when the ratio overflows, as long as something bounds it", () => {
    const bounds = { clipRange: 0.1, dualClip: 3 };
    expect(clippedSurrogate(2000, -2000, 1, bounds)).toMatchObject({ loss: -1.1, gradient: 0 });
    expect(clippedSurrogate(2000, -2000, -1, bounds)).toMatchObject({ loss: 3, gradient: 0 });
    expect(clippedSurrogate(2000, -2000, -1, { clipRange: 0.1 }).loss).toBe(Number.POSITIVE_INFINITY);
  });

  test("hands a NaN on, so that the caller can refuse it", () => {
    expect(clippedSurrogate(Number.NaN, 0, 1, { clipRange: 0.1 }).loss).toBeNaN();
  });
});

describe("valueLoss", () => {
  const values = [-1, 0.85, 0.95, 1, 1.05, 1.15, 3];

  test.each(values)("has the gradient of its loss at %d", (value) => {
    for (const target of [-0.3, 0.97, 1.2, 2.5]) {
      for (const clipRange of [undefined, 0.1]) {
        const { gradient } = valueLoss(value, 1, target, clipRange);
        expect(gradient).toBeCloseTo(
          slope((v) => valueLoss(v, 1, target, clipRange).loss, value),
          6,
        );
      }
    }
  });

  test("gives the numbers computed by hand", () => {
    expect(valueLoss(3, 1, 5)).toEqual({ loss: 2, gradient: -2 });
    // The value moved from 1 to 3 towards 5, further than 0.5: the error counted is that of 1.5.
    expect(valueLoss(3, 1, 5, 0.5)).toEqual({ loss: 6.125, gradient: 0 });
    // It moved away from the target: the unclipped error is the larger one and pulls it back.
    expect(valueLoss(3, 1, 0, 0.5)).toEqual({ loss: 4.5, gradient: 3 });
  });
});

describe("klK3", () => {
  test("is zero at equality, positive elsewhere, and exact near equality", () => {
    expect(klK3(-2, -2)).toBe(0);
    expect(klK3(Math.log(2), 0)).toBeCloseTo(1 - Math.log(2), 12);
    expect(klK3(Math.log(0.5), 0)).toBeCloseTo(-0.5 + Math.log(2), 12);
    expect(klK3(1e-7, 0) / 5e-15).toBeCloseTo(1, 6);
  });

  test("averages to the divergence under the old policy", () => {
    const old = [0.5, 0.3, 0.2];
    const current = [0.2, 0.3, 0.5];
    const exact = old.reduce((sum, p, i) => sum + p * Math.log(p / current[i]!), 0);
    const estimate = old.reduce((sum, p, i) => sum + p * klK3(Math.log(current[i]!), Math.log(p)), 0);
    expect(estimate).toBeCloseTo(exact, 12);
  });
});

describe("klK3Gradient", () => {
  test.each([
    [-3, -3],
    [-3.5, -3],
    [-1, -1.2],
    [-9, -0.1],
  ])("is the derivative of klK3 at (%d, %d)", (newLogProb, oldLogProb) => {
    const h = 1e-5;
    const difference = (klK3(newLogProb + h, oldLogProb) - klK3(newLogProb - h, oldLogProb)) / (2 * h);
    expect(klK3Gradient(newLogProb, oldLogProb)).toBeCloseTo(difference, 9);
  });

  test("pulls an improbable response back with a force of at most one", () => {
    expect(klK3Gradient(-40, 0)).toBeCloseTo(-1, 12);
  });
});
