import { describe, expect, test } from "vitest";
import { Collector } from "../../src/rollout/collector.js";
import { TrailingWindow } from "../../src/rollout/trailing-window.js";
import type { FinishedEpisode, Rollout, Transition } from "../../src/rollout/trajectory.js";
import { LineWorld } from "../fakes/line-world.js";
import { TabularPolicy } from "../fakes/tabular-policy.js";

/** A rollout of environments whose episodes end at the given steps with the given returns. */
function rollout(ends: readonly (readonly [step: number, total: number])[][], steps: number): Rollout {
  const trajectories = ends.map((own, environment) => ({
    environment,
    transitions: Array.from(
      { length: steps },
      (_, t) => ({ terminated: false, truncated: own.some(([step]) => step === t) }) as Transition,
    ),
  }));
  const episodes = ends.flatMap((own, environment) =>
    own.map(
      ([, total], episode): FinishedEpisode => ({
        environment,
        episode,
        return: total,
        steps: 1,
        success: total > 0,
      }),
    ),
  );
  return { trajectories, episodes };
}

describe("TrailingWindow", () => {
  test("keeps the episodes that finished last, whichever environment played them", () => {
    const window = new TrailingWindow(3);
    window.add(
      rollout(
        [
          [
            [0, 1],
            [5, 2],
          ],
          [
            [1, -4],
            [5, -8],
          ],
        ],
        6,
      ),
    );
    // In order of time: 1, -4, 2 and -8, of which the first is forgotten.
    expect(window.state().map((episode) => episode.return)).toEqual([-4, 2, -8]);
    expect(window.metrics()).toEqual({
      "rollout/window_success_rate": 1 / 3,
      "rollout/window_return_mean": -10 / 3,
    });
  });

  test("goes on from rollout to rollout, and after a restart", async () => {
    const environments = [new LineWorld(), new LineWorld()];
    const options = { environments, policy: new TabularPolicy(), seed: 1, sampling: { temperature: 1 } };
    const collector = new Collector({ ...options, maxNewTokens: 4 });
    let window = new TrailingWindow(10);
    const successes: boolean[] = [];
    for (let round = 0; round < 6; round++) {
      const played = await collector.collect(7);
      window.add(played);
      window = new TrailingWindow(10, JSON.parse(JSON.stringify(window.state())));
      expect(window.state()).toHaveLength(Math.min(10, successes.length + played.episodes.length));
      successes.push(...played.episodes.map(({ success }) => success));
    }
    const inWindow = window.state().filter(({ success }) => success).length;
    expect(window.metrics()["rollout/window_success_rate"]).toBe(inWindow / 10);
  });

  test("says nothing while no episode has finished", () => {
    const window = new TrailingWindow(5);
    window.add(rollout([[]], 4));
    expect(window.metrics()["rollout/window_success_rate"]).toBeUndefined();
  });
});
