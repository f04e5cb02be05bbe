import { describe, expect, test } from "vitest";
import type { Rollout } from "../../src/rollout/trajectory.js";
import { initialStopState, isSolved, observeRollout, type StopState } from "../../src/train/stop-rule.js";

const settings = { successRate: 0.9, patience: 2, minimumEpisodes: 10 };

function rollout(successes: number, episodes = 10): Rollout {
  return {
    trajectories: [],
    episodes: Array.from({ length: episodes }, (_, episode) => ({
      environment: 0,
      episode,
      return: 0,
      steps: 1,
      success: episode < successes,
    })),
  };
}

/** The states after rollouts with these successes of 10. */
function follow(successes: number[], isSaved = (_update: number) => true): StopState[] {
  const states: StopState[] = [];
  for (const [measured, count] of successes.entries()) {
    const before = states.at(-1) ?? initialStopState;
    states.push(observeRollout(before, rollout(count), measured, isSaved(measured), settings));
  }
  return states;
}

describe("the stop rule", () => {
  test("keeps the weights that a rollout measured highest, the earliest of equals", () => {
    const best = follow([3, 7, 5, 7, 8, 2]).map((state) => state.best?.update);
    expect(best).toEqual([0, 1, 1, 1, 4, 4]);
  });

  test("never keeps weights that were not saved", () => {
    const best = follow([1, 9, 2, 8], (update) => update % 2 === 0).map((state) => state.best?.update);
    expect(best).toEqual([0, 0, 2, 2]);
  });

  test("ends after enough solved rollouts in a row, not in all", () => {
    const solved = follow([9, 8, 9, 10]).map((state) => isSolved(state, settings));
    expect(solved).toEqual([false, false, false, true]);
  });

  test("learns nothing from a rollout with too few finished episodes", () => {
    const [state] = follow([9]);
    expect(observeRollout(state!, rollout(9, 9), 1, true, settings)).toBe(state);
  });
});
