import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { NumberLine, type NumberLineState } from "../../envs/gym-cards/number-line.js";
import { checkEnvironment } from "./contract.js";
import { sharedData } from "./shared-data.js";

checkEnvironment("NumberLine", () => new NumberLine());
checkEnvironment("NumberLine without thoughts", () => new NumberLine({ thoughts: false }));
checkEnvironment("NumberLine with paperReset", () => new NumberLine({ paperReset: true }));

/** All 36 pairs of draws as the reference's reset maps them: a pair for each, so some occur twice. */
const STARTS: NumberLineState[] = [0, 1, 2, 3, 4, 5].flatMap((current) =>
  [0, 1, 2, 3, 4, 5].map((goal) => ({ current, target: goal === current ? (goal + 1) % 5 : goal })),
);

const outcome = { steps: 1, terminated: true, lastInfo: { current: 0, target: 0, steps: 1 } };

describe("NumberLine transitions", () => {
  const data = sharedData("gym-cards");

  test.skipIf(data === undefined)(
    "equal those of the reference, traces from ../shared/data/gym-cards",
    () => {
      interface Trace {
        start: number;
        goal: number;
        steps: {
          action: number;
          reward: number;
          terminated: boolean;
          truncated: boolean;
          info: { Target: number; Current: number };
        }[];
      }
      const file = readFileSync(join(data!, "traces.json.gz"));
      const { number_line: traces } = JSON.parse(gunzipSync(file).toString()) as { number_line: Trace[] };
      expect(traces.length).toBeGreaterThan(0);
      const environment = new NumberLine();
      for (const { start, goal, steps } of traces) {
        environment.resetTo({ current: start, target: goal });
        for (const [index, { action, info, ...expected }] of steps.entries()) {
          const { frame: _, ...result } = environment.step(action);
          expect(result).toEqual({
            ...expected,
            info: { target: info.Target, current: info.Current, steps: index + 1 },
          });
        }
      }
    },
  );

  test("reward the target, punish moves that bring nothing, and stop at the line's ends", () => {
    const environment = new NumberLine();
    environment.resetTo({ current: 0, target: 2 });
    const results = [0, 1, 0, 1, 1].map((action) => environment.step(action));
    expect(results.map(({ info }) => info.current)).toEqual([0, 1, 0, 1, 2]);
    expect(results.map(({ reward }) => reward)).toEqual([-1, 0, -1, 0, 1]);
    expect(results.map(({ terminated }) => terminated)).toEqual([false, false, false, false, true]);
    environment.resetTo({ current: 5, target: 0 });
    expect(environment.step(1)).toMatchObject({ reward: -1, info: { current: 5, target: 0, steps: 1 } });
  });

  test("truncate after ten moves, but terminate where the tenth reaches the target", () => {
    const environment = new NumberLine();
    environment.resetTo({ current: 0, target: 5 });
    for (let step = 1; step < 10; step++) expect(environment.step(0).truncated).toBe(false);
    expect(environment.step(0)).toMatchObject({ reward: -1, terminated: false, truncated: true });

    environment.resetTo({ current: 0, target: 2 });
    for (const action of [0, 0, 0, 0, 0, 0, 0, 0, 1]) environment.step(action);
    expect(environment.step(1)).toMatchObject({ reward: 1, terminated: true, truncated: false });
  });

  test("refuse states off the line, at the target, or fractional", () => {
    const environment = new NumberLine();
    expect(() => environment.resetTo({ current: 6, target: 0 })).toThrow(
      "current: expected an integer from 0 to 5, received 6",
    );
    expect(() => environment.resetTo({ current: 0, target: -1 })).toThrow(RangeError);
    expect(() => environment.resetTo({ current: 0, target: 0.5 })).toThrow(RangeError);
    expect(() => environment.resetTo({ current: 3, target: 3 })).toThrow(
      "target: expected a number other than current, received 3",
    );
  });

  test("carry error codes", () => {
    const environment = new NumberLine();
    expect(() => environment.step(2)).toThrow(expect.objectContaining({ code: "OUT_OF_RANGE" }));
    expect(() => environment.step(0)).toThrow(expect.objectContaining({ code: "NO_EPISODE" }));
  });
});

describe("NumberLine starts", () => {
  test("occur as often as under the reference's rule, six pairs twice as often as the others", () => {
    const draws = 7_200;
    const environment = new NumberLine();
    const counts = new Map<string, number>();
    for (let seed = 0; seed < draws; seed++) {
      const { current, target } = environment.reset(seed).info;
      const key = `${current},${target}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const expected = new Map<string, number>();
    for (const { current, target } of STARTS) {
      const key = `${current},${target}`;
      expected.set(key, (expected.get(key) ?? 0) + 1 / 36);
    }
    expect(new Set(counts.keys())).toEqual(new Set(expected.keys()));
    expect(expected.size).toBe(30);
    for (const [key, p] of expected) {
      expect(Math.abs(counts.get(key)! - draws * p)).toBeLessThan(4 * Math.sqrt(draws * p * (1 - p)));
    }
  });
});

describe("NumberLine scores", () => {
  /** Success rate and mean return of a policy, exactly: all states, moves and returns with their weights. */
  function score(policy: (state: NumberLineState) => readonly [number, number]) {
    const environment = new NumberLine();
    const totals = { success: 0, return: 0, length: 0, reached: 0 };
    function play(state: NumberLineState, steps: number, sum: number, weight: number): void {
      for (const [action, p] of policy(state).entries()) {
        if (p === 0) continue;
        const { reward, terminated, info } = transition(state, action);
        const [total, reach] = [sum + reward, weight * p];
        if (!terminated && steps + 1 < 10) {
          play(info, steps + 1, total, reach);
          continue;
        }
        const ended = { return: total, steps: steps + 1, terminated, lastInfo: info };
        if (environment.isSuccess(ended)) totals.success += reach;
        if (terminated) totals.reached += reach;
        totals.return += reach * total;
        totals.length += reach * (steps + 1);
      }
    }
    const transitions = new Map<string, ReturnType<NumberLine["step"]>>();
    function transition({ current, target }: NumberLineState, action: number) {
      const key = `${current},${target},${action}`;
      let result = transitions.get(key);
      if (result === undefined) {
        environment.resetTo({ current, target });
        result = environment.step(action);
        transitions.set(key, result);
      }
      return result;
    }
    for (const start of STARTS) play(start, 0, 0, 1 / 36);
    return totals;
  }

  test("of the uniform random policy: 28.30 % success, return -2.483, 6.19 moves", () => {
    const totals = score(() => [0.5, 0.5]);
    expect(totals.success).toBeCloseTo(0.283, 4);
    expect(totals.return).toBeCloseTo(-2.483, 3);
    expect(totals.length).toBeCloseTo(6.19, 2);
    expect(totals.reached).toBeCloseTo(0.6113, 4);
  });

  test("of the optimal policy: 100 % success, return 1, 2.278 moves", () => {
    const environment = new NumberLine();
    const totals = score((state) => {
      const optimal = environment.optimalActions({ ...state, steps: 0 });
      expect(optimal).toHaveLength(1);
      return optimal[0] === 0 ? [1, 0] : [0, 1];
    });
    expect(totals.success).toBeCloseTo(1, 12);
    expect(totals.return).toBeCloseTo(1, 12);
    expect(totals.length).toBeCloseTo(2.278, 3);
  });

  test('of always "+": 52.78 % success, return -4.194, 5.81 moves', () => {
    const totals = score(() => [0, 1]);
    expect(totals.success).toBeCloseTo(0.5278, 4);
    expect(totals.return).toBeCloseTo(-4.194, 3);
    expect(totals.length).toBeCloseTo(5.81, 2);
  });

  test("count a return above zero as success, and nothing else", () => {
    const environment = new NumberLine();
    expect(environment.isSuccess({ ...outcome, return: 1 })).toBe(true);
    expect(environment.isSuccess({ ...outcome, return: 0 })).toBe(false);
    expect(environment.isSuccess({ ...outcome, return: -1 })).toBe(false);
  });
});

describe("NumberLine text", () => {
  const info = { target: 3, current: 0, steps: 0 };

  test("prompts with the paper's words", () => {
    const task =
      "You are playing a game called number line. You will see a target number and a current number in the image. And your goal is to move the current number closer to the target by choosing either adding or subtracting one to the current number. Your response should be a valid json file in the following format: ";
    expect(new NumberLine().prompt(info)).toBe(
      `${task}\n{\n "current number": "x", \n"target number": "x", \n"thoughts": "{first read out the current and target number, then think carefully about which action to choose}", \n"action": "-" or "+" \n}`,
    );
    expect(new NumberLine({ thoughts: false }).prompt(info)).toBe(`${task}\n{\n "action": "-" or "+" \n}`);
  });

  test.each([
    ["a JSON response", '{"thoughts": "go up - or not", "action": "+"}', 1],
    ["any case of letters", '{"ACTION": "-"}', 0],
    ["a label without quotes", '"action": +', 1],
    ["a label twice", '"action": "+" "+"', 1],
    ["the first of two keys, with all that follows it", '"action": "-", "action": "+"', undefined],
    ["labels before the key", '+ "action": ""', undefined],
    ["both labels", '"action": "-" or "+"', undefined],
    ["a hyphen after the action", '"action": "+", "note": "well-chosen"', undefined],
    ["no label", '"action": "stay"', undefined],
    ["a key with a space before its colon", '"action" : "+"}', undefined],
    ["no key but a label at the very end", "I choose +", 1],
    ["no key and a label before the end", "I choose + now", undefined],
    ["nothing", "", undefined],
  ])("finds the action in %s", (_, response, action) => {
    expect(new NumberLine().parseAction(response, info)).toBe(action);
  });

  test.each([
    ["strings", '{"current number": "0", "target number": "3"', true],
    ["bare numbers", '{"current number":0,"target number":3', true],
    ["line breaks", '{\n "current number" :\n "0", \n"target number": " 3"', true],
    ["the other order", '"target number": "3", "current number": "0"', true],
    ["swapped numbers", '{"current number": "3", "target number": "0"', false],
    ["a longer number", '{"current number": "0", "target number": "30"', false],
    ["one number", '{"current number": "0"', false],
    ["no number", '{"current number": "x", "target number": "x"', false],
  ])("tells whether the state is read right from %s", (_, response, expected) => {
    expect(new NumberLine().readsState!(response, info)).toBe(expected);
  });

  test("cannot tell what was read without thoughts", () => {
    expect(new NumberLine({ thoughts: false }).readsState).toBeUndefined();
  });

  test("sees nothing left to do at the target", () => {
    expect(new NumberLine().optimalActions({ target: 3, current: 3, steps: 2 })).toEqual([]);
  });
});
