import { describe, expect, test } from "vitest";
import type { Expert, ResetResult } from "../../envs/env.js";
import {
  type Demonstration,
  demonstratedEpisodes,
  ExpertDemonstrations,
  type ExpertWalk,
} from "../../src/algorithms/demonstrations.js";
import { type LineInfo, LineWorld, lineExpert } from "../fakes/line-world.js";

/** Starts at one end with the target at the other, so that every other position has been walked to. */
class FarLine extends LineWorld {
  override reset(_seed: number) {
    let seed = 0;
    let start = super.reset(seed) as ResetResult<LineInfo>;
    while (start.info.current !== 0 || start.info.target !== 3) {
      start = super.reset(++seed) as ResetResult<LineInfo>;
    }
    return start;
  }
}

/** The position that a frame shows. */
const position = ({ frame }: Demonstration): number => frame.data[1]!;
/** The move that a response names. */
const move = ({ response }: Demonstration): string | undefined => /"action": "([-+])"/.exec(response)?.[1];

describe("ExpertDemonstrations", () => {
  const walk: ExpertWalk = { errorRate: 0, maxRandomSteps: 3, randomActionRate: 1 };

  function batch(changes: Partial<ExpertWalk>, { seed = 1, step = 1, count = 400 } = {}) {
    const options = { environment: new FarLine(), expert: lineExpert, seed };
    return new ExpertDemonstrations(options, { ...walk, ...changes }).batch(step, count);
  }

  test("shows states from the middle of episodes, but never an end", async () => {
    const starts = await batch({ maxRandomSteps: 0 });
    expect(new Set(starts.map(position))).toEqual(new Set([0]));
    // The target at 3 ends the episode.
    expect(new Set((await batch({ maxRandomSteps: 6 })).map(position))).toEqual(new Set([0, 1, 2]));
  });

  test("walks the expert's way as often as asked", async () => {
    // The number of steps is uniform over 0 to 3, and a third step of the expert would end the episode.
    const shares = async (changes: Partial<ExpertWalk>): Promise<number[]> => {
      const positions = (await batch(changes, { count: 4000 })).map(position);
      return [0, 1, 2].map((at) => positions.filter((other) => other === at).length / positions.length);
    };
    const close = (actual: readonly number[], expected: readonly number[]): void => {
      // Four standard errors of a share over 4000 are at most 0.032.
      for (const [at, share] of expected.entries()) expect(Math.abs(actual[at]! - share)).toBeLessThan(0.032);
    };
    close(await shares({ randomActionRate: 0 }), [1 / 4, 1 / 4, 1 / 2]);
    // One of two random actions is the expert's, so that each action steps forward with probability 3/4: at 0 and at 1 the
    // other action leads to 0, at 2 to 1. After 0, 1, 2 and 3 steps: (1), (1/4, 3/4), (1/4, 3/16, 9/16), (7/64, 21/64, 36/64),
    // the last with the ended episodes (27/64) shown at 2.
    close(await shares({ randomActionRate: 0.5 }), [
      (1 + 1 / 4 + 1 / 4 + 7 / 64) / 4,
      (3 / 4 + 3 / 16 + 21 / 64) / 4,
      (9 / 16 + 36 / 64) / 4,
    ]);
  });

  test("shows the same states whatever the expert's error rate", async () => {
    const right = await batch({ randomActionRate: 0.3 });
    const wrong = await batch({ randomActionRate: 0.3, errorRate: 1 });
    expect(wrong.map(position)).toEqual(right.map(position));
    expect(new Set(right.map(move))).toEqual(new Set(["+"]));
    expect(new Set(wrong.map(move))).toEqual(new Set(["-"]));
  });

  test("is a pure function of seed and step", async () => {
    expect(await batch({}, { step: 3 })).toEqual(await batch({}, { step: 3 }));
    expect(await batch({}, { step: 3 })).not.toEqual(await batch({}, { step: 4 }));
    expect(await batch({}, { seed: 2 })).not.toEqual(await batch({}));
  });

  test("refuses settings out of range", () => {
    expect(() => batch({ errorRate: 1.5, maxRandomSteps: -1, randomActionRate: Number.NaN })).toThrow(
      "sft.errorRate: expected a number in [0, 1], received 1.5\n" +
        "sft.maxRandomSteps: expected an integer >= 0, received -1\n" +
        "sft.randomActionRate: expected a number in [0, 1], received NaN",
    );
  });
});

describe("demonstratedEpisodes", () => {
  async function take(count: number, rates: { errorRate: number; randomActionRate: number }, seed = 1) {
    const taken = [];
    for await (const demonstration of demonstratedEpisodes(
      { environment: new FarLine(), expert: lineExpert as Expert<LineInfo>, seed },
      rates,
    )) {
      taken.push(demonstration);
      if (taken.length === count) break;
    }
    return taken;
  }

  test("shows every decision of the expert's episodes", async () => {
    const taken = await take(6, { errorRate: 0, randomActionRate: 0 });
    expect(taken.map(({ episode, step }) => [episode, step])).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
    ]);
    expect(taken.map(position)).toEqual([0, 1, 2, 0, 1, 2]);
    expect(taken.map(move)).toEqual(Array(6).fill("+"));
  });

  test("writes errors and plays the right action all the same", async () => {
    const taken = await take(6, { errorRate: 1, randomActionRate: 0 });
    expect(taken.map(position)).toEqual([0, 1, 2, 0, 1, 2]);
    expect(taken.map(move)).toEqual(Array(6).fill("-"));
  });

  test("leaves the expert's way at random, the same way for the same seed", async () => {
    const mixed = { errorRate: 0.3, randomActionRate: 0.5 };
    const taken = await take(200, mixed);
    expect(taken.some(({ step }) => step > 2)).toBe(true);
    expect(await take(200, mixed)).toEqual(taken);
    expect(await take(200, mixed, 2)).not.toEqual(taken);
  });

  test("refuses a rate out of range", async () => {
    await expect(take(1, { errorRate: 2, randomActionRate: 0 })).rejects.toThrow(
      "demonstrations.errorRate: expected a number in [0, 1], received 2",
    );
  });
});
