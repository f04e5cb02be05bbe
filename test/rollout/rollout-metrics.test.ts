import { describe, expect, test } from "vitest";
import { dropUndefined, rolloutMetrics, summarizeRollout } from "../../src/rollout/rollout-metrics.js";
import type { FinishedEpisode, Transition } from "../../src/rollout/trajectory.js";

function transition(tokens: number, value: number, overrides: Partial<Transition> = {}): Transition {
  return {
    prompt: { tokens: Int32Array.of(1), images: [] },
    scoredPrompt: { tokens: Int32Array.of(1), images: [] },
    response: {
      tokens: new Int32Array(tokens),
      text: "",
      logProbs: new Float32Array(tokens),
      value,
      finishReason: "end",
    },
    action: 0,
    legal: true,
    reward: 0,
    terminated: false,
    truncated: false,
    bootstrapValue: 0,
    optimal: undefined,
    readsState: undefined,
    ...overrides,
  };
}

function episode(total: number, success: boolean): FinishedEpisode {
  return { environment: 0, episode: 0, return: total, steps: 1, success };
}

describe("summarizeRollout", () => {
  test("gives the numbers computed by hand", () => {
    const trajectories = [
      {
        environment: 0,
        transitions: [transition(4, 1, { optimal: true }), transition(6, 2, { legal: false })],
      },
      { environment: 1, transitions: [transition(5, 3, { optimal: false, readsState: true })] },
    ];
    const episodes = [episode(1, true), episode(-2, false), episode(0, false)];
    expect(summarizeRollout({ trajectories, episodes })).toEqual({
      "rollout/success_rate": 1 / 3,
      "rollout/return_mean": -1 / 3,
      "rollout/episodes": 3,
      "rollout/action_accuracy": 0.5,
      "rollout/reading_accuracy": 1,
      "rollout/illegal_rate": 1 / 3,
      "rollout/response_tokens_mean": 5,
      "rollout/value_mean": 2,
    });
  });

  test("leaves undefined what nothing defines", () => {
    const trajectories = [{ environment: 0, transitions: [transition(4, 1)] }];
    const metrics = summarizeRollout({ trajectories, episodes: [] });
    expect(Object.keys(metrics)).toEqual(Object.keys(rolloutMetrics));
    expect(dropUndefined(metrics)).toEqual({
      "rollout/episodes": 0,
      "rollout/illegal_rate": 0,
      "rollout/response_tokens_mean": 4,
      "rollout/value_mean": 1,
    });
  });
});
