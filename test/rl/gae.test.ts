import { describe, expect, test } from "vitest";
import { type GaeStep, generalizedAdvantages } from "../../src/rl/gae.js";

/** A step inside an episode; its bootstrap value is poison, so that reading it by mistake shows. */
function step(reward: number, value: number, end: Partial<GaeStep> = {}): GaeStep {
  return { reward, value, terminated: false, truncated: false, bootstrapValue: Number.NaN, ...end };
}

const gamma = 0.9;
const gaeLambda = 0.5;

describe("generalizedAdvantages", () => {
  test("gives the numbers computed by hand for an episode that terminates", () => {
    const steps = [step(1, 2), step(-1, 3), step(2, 4, { terminated: true })];
    const { advantages, returns } = generalizedAdvantages(steps, gamma, gaeLambda);
    // delta: 1 + 2.7 - 2 = 1.7; -1 + 3.6 - 3 = -0.4; 2 - 4 = -2. A: -2; -0.4 - 0.9; 1.7 - 0.45 * 1.3.
    expect(advantages[2]).toBeCloseTo(-2, 12);
    expect(advantages[1]).toBeCloseTo(-1.3, 12);
    expect(advantages[0]).toBeCloseTo(1.115, 12);
    expect([...returns].map((r, t) => r - steps[t]!.value)).toEqual(
      [...advantages].map((a) => expect.closeTo(a, 12)),
    );
  });

  test("bootstraps through a truncation, and only there", () => {
    const ended = { truncated: true, bootstrapValue: 10 };
    const truncated = generalizedAdvantages([step(1, 2, ended), step(0, 5, { terminated: true })], gamma, 1);
    expect(truncated.advantages[0]).toBeCloseTo(1 + 9 - 2, 12);
    const both = { ...ended, terminated: true };
    const terminated = generalizedAdvantages([step(1, 2, both), step(0, 5, { terminated: true })], gamma, 1);
    expect(terminated.advantages[0]).toBeCloseTo(1 - 2, 12);
  });

  test("bootstraps at the end of the rollout inside an episode", () => {
    const { advantages } = generalizedAdvantages([step(1, 2), step(1, 3, { bootstrapValue: 4 })], gamma, 1);
    expect(advantages[1]).toBeCloseTo(1 + 3.6 - 3, 12);
    expect(advantages[0]).toBeCloseTo(1 + 2.7 - 2 + gamma * 1.6, 12);
  });

  test("lets nothing flow from one episode into the one before", () => {
    const ends: Partial<GaeStep>[] = [{ terminated: true }, { truncated: true, bootstrapValue: 1 }];
    for (const end of ends) {
      const first = [step(1, 2), step(0, 3, end)];
      const alone = generalizedAdvantages(first, gamma, gaeLambda).advantages;
      const followed = generalizedAdvantages(
        [...first, step(100, -50, { terminated: true })],
        gamma,
        gaeLambda,
      ).advantages;
      expect(followed.subarray(0, 2)).toEqual(alone);
    }
  });

  test("with lambda 1 returns are discounted sums of rewards, with lambda 0 one-step targets", () => {
    const steps = [step(1, 0.3), step(2, -0.7), step(3, 0.1, { terminated: true })];
    const monteCarlo = generalizedAdvantages(steps, gamma, 1).returns;
    expect(monteCarlo[0]).toBeCloseTo(1 + 0.9 * 2 + 0.81 * 3, 12);
    const oneStep = generalizedAdvantages(steps, gamma, 0).returns;
    expect(oneStep[0]).toBeCloseTo(1 + 0.9 * -0.7, 12);
  });

  test("of no steps is empty", () => {
    expect(generalizedAdvantages([], gamma, gaeLambda).advantages).toHaveLength(0);
  });
});
