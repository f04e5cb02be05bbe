import { describe, expect, test } from "vitest";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { NumberLineExpert } from "../../envs/gym-cards/number-line-expert.js";
import { deriveKey, Random } from "../../src/random.js";

const expert = new NumberLineExpert();
const environment = new NumberLine();

const STATES = [0, 1, 2, 3, 4, 5].flatMap((current) =>
  [0, 1, 2, 3, 4, 5].filter((target) => target !== current).map((target) => ({ current, target, steps: 0 })),
);

describe("NumberLineExpert", () => {
  test("writes the paper's response", () => {
    expect(expert.respond({ current: 0, target: 3, steps: 0 }, () => 0.5, 0)).toBe(
      '{\n "current number": "0", \n"target number": "3", \n"thoughts": "The current number is 0, which is smaller than the target number is 3. To move the current number closer to the target, I should increase the current number by choosing +.", \n"action": "+" \n}',
    );
    expect(expert.respond({ current: 5, target: 2, steps: 4 }, () => 0.5, 0)).toBe(
      '{\n "current number": "5", \n"target number": "2", \n"thoughts": "The current number is 5, which is larger than the target number is 2. To move the current number closer to the target, I should decrease the current number by choosing -.", \n"action": "-" \n}',
    );
  });

  test("errs consistently: numbers read right, comparison and all that follows flipped", () => {
    expect(expert.respond({ current: 0, target: 3, steps: 0 }, () => 0.5, 1)).toBe(
      '{\n "current number": "0", \n"target number": "3", \n"thoughts": "The current number is 0, which is larger than the target number is 3. To move the current number closer to the target, I should decrease the current number by choosing -.", \n"action": "-" \n}',
    );
  });

  test.each(STATES)("is JSON that the environment reads back, at $current towards $target", (info) => {
    const optimal = environment.optimalActions(info)[0]!;
    for (const [errorRate, action] of [
      [0, optimal],
      [1, 1 - optimal],
    ] as const) {
      const response = expert.respond(info, () => 0, errorRate);
      expect(Object.keys(JSON.parse(response))).toEqual([
        "current number",
        "target number",
        "thoughts",
        "action",
      ]);
      expect(environment.readsState!(response, info)).toBe(true);
      expect(environment.parseAction(response, info)).toBe(action);
    }
  });

  test("errs as often as asked", () => {
    const random = new Random(deriveKey(11));
    const info = { current: 1, target: 4, steps: 0 };
    const n = 20_000;
    let wrong = 0;
    for (let i = 0; i < n; i++) {
      const response = expert.respond(info, () => random.uniform(), 0.55);
      if (environment.parseAction(response, info) === 0) wrong += 1;
    }
    expect(Math.abs(wrong - 0.55 * n)).toBeLessThan(4 * Math.sqrt(n * 0.55 * 0.45));
  });

  test.each([-0.1, 1.1, Number.NaN])("refuses the error rate %d", (errorRate) => {
    expect(() => expert.respond(STATES[0]!, () => 0, errorRate)).toThrow(
      `errorRate: expected a probability in [0, 1], received ${errorRate}`,
    );
  });

  test("refuses a state with nothing left to decide", () => {
    expect(() => expert.respond({ current: 3, target: 3, steps: 2 }, () => 0, 0)).toThrow(RangeError);
  });
});
