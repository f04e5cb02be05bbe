import { describe, expect, test, vi } from "vitest";
import { NumberLine, type NumberLineInfo } from "../../envs/gym-cards/number-line.js";
import { NumberLineExpert } from "../../envs/gym-cards/number-line-expert.js";
import { deriveKey, Random } from "../../src/random.js";

// Only the state matters here, and comparing frames byte by byte would take seconds.
vi.mock("../../envs/gym-cards/rendering.js", async (original) => ({
  ...(await original<object>()),
  createFrame: () => ({ width: 1, height: 1, data: new Uint8Array(3) }),
  drawStrip: () => {},
  drawText: () => {},
  loadFont: () => ({}),
}));

const game = new NumberLine({ paperReset: true });

interface Played {
  readonly return: number;
  readonly steps: number;
}

function play(start: NumberLineInfo, choose: (info: NumberLineInfo) => number): Played {
  let info = start;
  let total = 0;
  for (;;) {
    const { reward, terminated, truncated, info: next } = game.step(choose(info));
    total += reward;
    info = next;
    if (terminated || truncated) return { return: total, steps: info.steps };
  }
}

/** Mean and standard error. */
function measure(values: readonly number[]): { mean: number; error: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { mean, error: Math.sqrt(variance / values.length) };
}

const positions = [0, 1, 2, 3, 4, 5];

describe("NumberLine with paperReset", () => {
  test("draws all 36 starts alike, those at the target included", () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 36_000; seed++) {
      const { target, current } = game.reset(seed).info;
      counts.set(`${target},${current}`, (counts.get(`${target},${current}`) ?? 0) + 1);
    }
    expect(counts.size).toBe(36);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(1000));
  });

  test("pays for a blocked move at the target, and ends there", () => {
    for (const [position, action] of [
      [0, 0],
      [5, 1],
    ] as const) {
      game.resetTo({ current: position, target: position });
      expect(game.step(action)).toMatchObject({ reward: 1, terminated: true });
    }
  });

  test("moves the target after the first step, which still shows the old one", () => {
    game.resetTo({ current: 2, target: 2 });
    expect(game.step(1)).toMatchObject({ reward: -1, info: { target: 2, current: 3 } });
    // It has stood at the new target 3 unseen; going on is a step away from it.
    expect(game.step(1)).toMatchObject({ reward: -1, info: { target: 3, current: 4 } });
    expect(game.step(0)).toMatchObject({ reward: 1, terminated: true, info: { target: 3, current: 3 } });
    game.resetTo({ current: 4, target: 4 });
    game.step(0);
    expect(game.step(0)).toMatchObject({ reward: 0, info: { target: 0, current: 2 } });
  });

  test("leaves other starts as they are", () => {
    const fixed = new NumberLine();
    for (const target of positions) {
      for (const current of positions.filter((position) => position !== target)) {
        for (const action of [0, 1]) {
          fixed.resetTo({ current, target });
          game.resetTo({ current, target });
          for (let step = 0; step < 2; step++) {
            const expected = fixed.step(action);
            expect(game.step(action)).toEqual(expected);
            if (expected.terminated) break;
          }
        }
      }
    }
  });

  test("lets optimal play of what is shown succeed in 32 of 36 starts, with a mean return of 0.861", () => {
    const played = positions.flatMap((target) =>
      positions.map((current) =>
        play(game.resetTo({ current, target }).info, (info) => {
          const [action] = game.optimalActions(info);
          return action!;
        }),
      ),
    );
    expect(played.filter((episode) => episode.return > 0)).toHaveLength(32);
    expect(measure(played.map((episode) => episode.return)).mean).toBeCloseTo(0.861, 3);
    expect(measure(played.map(({ steps }) => steps)).mean).toBeCloseTo(2.42, 2);
  });

  test("has an expert that plays so, and states what it sees", () => {
    const expert = new NumberLineExpert();
    for (const position of positions) {
      const { info } = game.resetTo({ current: position, target: position });
      const right = expert.respond(info, () => 0.5, 0);
      expect(game.parseAction(right, info)).toBe(game.optimalActions(info)[0]);
      expect(game.readsState!(right, info)).toBe(true);
      expect(right).toContain(
        `The current number is ${position}, which is equal to the target number is ${position}.`,
      );
      expect(
        game.parseAction(
          expert.respond(info, () => 0.5, 1),
          info,
        ),
      ).toBe(1 - game.optimalActions(info)[0]!);
    }
  });

  test("has uniform random play succeed in 25.2 % of episodes, with a mean return of -2.61", () => {
    const random = new Random(deriveKey(1));
    const played = Array.from({ length: 200_000 }, (_, seed) =>
      play(game.reset(seed).info, () => random.integer(2)),
    );
    const success = measure(played.map((episode) => Number(episode.return > 0)));
    const total = measure(played.map((episode) => episode.return));
    const steps = measure(played.map((episode) => episode.steps));
    // Three standard errors, and half of the last digit that is given.
    expect(Math.abs(success.mean - 0.252)).toBeLessThan(3 * success.error + 0.0005);
    expect(Math.abs(total.mean + 2.61)).toBeLessThan(3 * total.error + 0.005);
    expect(Math.abs(steps.mean - 6.28)).toBeLessThan(3 * steps.error + 0.005);
  });
});
