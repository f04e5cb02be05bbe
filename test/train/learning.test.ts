import { expect, test } from "vitest";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { ppo } from "../../src/algorithms/ppo.js";
import { loadPolicy } from "../../src/train/load-policy.js";
import { numberLine } from "../../src/train/presets.js";

/**
 * The first half of the `number-line` preset on the native engine. The start decides like a coin; of the 512 decisions
 * of a rollout, a coin gets more than 0.57 right once in 1000 rollouts.
 */
test("the shipped model learns the rule of NumberLine and goes on reading the numbers", async () => {
  const config = numberLine();
  const policy = await loadPolicy(config);
  try {
    const environments = Array.from({ length: config.environments }, () => new NumberLine());
    const rows: Record<string, number>[] = [];
    for await (const { update, metrics } of ppo({
      policy,
      environments,
      config: config.ppo,
      seed: config.seed,
    })) {
      rows.push(metrics);
      if (update === 7) break;
    }
    expect(rows[0]!["rollout/action_accuracy"]).toBeLessThan(0.55);
    expect(rows[0]!["rollout/reading_accuracy"]).toBeGreaterThan(0.95);
    expect(rows[6]!["rollout/action_accuracy"]).toBeGreaterThan(0.65);
    expect(rows[6]!["rollout/reading_accuracy"]).toBeGreaterThan(0.95);
    expect(rows.map((row) => row["rollout/log_prob_mismatch_max"])).toEqual([0, 0, 0, 0, 0, 0, 0]);
  } finally {
    policy.dispose();
  }
}, 600_000);
