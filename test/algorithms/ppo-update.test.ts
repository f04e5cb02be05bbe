import { describe, expect, test } from "vitest";
import type { Environment } from "../../envs/env.js";
import { ppoMetrics } from "../../src/algorithms/ppo-metrics.js";
import type { Rollout, Transition } from "../../src/rollout/trajectory.js";
import { LineWorld } from "../fakes/line-world.js";
import { RecordingPolicy } from "../fakes/recording-policy.js";
import { config, options, run } from "./ppo-run.js";

describe("the gradient", () => {
  test("with λ = 0 is exactly zero on thought tokens and reaches action tokens", async () => {
    const policy = new RecordingPolicy();
    await run(options({ policy }, { updates: 2, lambda: 0 }));
    let reached = 0;
    for (const { sequences, scores, gradient } of policy.calls) {
      sequences.forEach(({ response }, b) => {
        const own = gradient.logProbs.subarray(scores.offsets[b]!, scores.offsets[b + 1]!);
        const action = response.findLastIndex((token) => token >= 3);
        const thought = action < 0 ? own : own.subarray(0, action);
        expect(thought.every((g) => g === 0)).toBe(true);
        reached += own.filter((g) => g !== 0).length;
      });
    }
    expect(reached).toBeGreaterThan(1000);
  });

  test("with λ = 1 is that of plain PPO", async () => {
    const policy = new RecordingPolicy();
    const of = options({ policy }, { updates: 2, lambda: 1, advantageStdFloor: 0, dualClip: undefined });
    const updates = await run(of);
    const perUpdate = policy.calls.length / updates.length;
    let clipped = 0;
    for (const [index, { sequences, scores, gradient }] of policy.calls.entries()) {
      const advantages = plainAdvantages(updates[Math.floor(index / perUpdate)]!.rollout);
      const expected = sequences.flatMap(({ response }, b) => {
        const { advantage, logProbs } = advantages.get(response)!;
        const ratio = Math.exp(
          sum(scores.logProbs.subarray(scores.offsets[b]!, scores.offsets[b + 1]!)) - sum(logProbs),
        );
        const clip = Math.min(Math.max(ratio, 1 - 0.2), 1 + 0.2);
        const isClipped = clip * advantage < ratio * advantage;
        if (isClipped) clipped += 1;
        return [...response].map(() => (isClipped ? 0 : (-ratio * advantage) / sequences.length));
      });
      expect([...gradient.logProbs]).toEqual(expected.map((g) => expect.closeTo(g, 6)));
    }
    expect(clipped).toBeGreaterThan(10);
  });

  test("of a minibatch that is scored in parts is the same, part by part", async () => {
    const [whole, parts] = [new RecordingPolicy(), new RecordingPolicy()];
    const [updateWhole] = await run(options({ policy: whole }, { updates: 1, epochs: 1 }));
    const [updateParts] = await run(
      options({ policy: parts }, { updates: 1, epochs: 1, microbatchSize: 10 }),
    );
    expect(parts.calls.map(({ sequences }) => sequences.length)).toEqual(
      whole.calls.flatMap(() => [10, 10, 10, 10, 10, 10, 4]),
    );
    expect(parts.steps).toHaveLength(whole.steps.length);
    const first = { whole: whole.calls.slice(0, 1), parts: parts.calls.slice(0, 7) };
    const gradients = (calls: typeof whole.calls) => calls.flatMap(({ gradient }) => [...gradient.logProbs]);
    expect(gradients(first.parts)).toEqual(gradients(first.whole));
    const key = "rollout/log_prob_mismatch_max";
    expect(updateParts!.metrics[key]).toBe(updateWhole!.metrics[key]);
  });

  test("of the values is the coefficient times the error", async () => {
    const policy = new RecordingPolicy();
    await run(options({ policy }, { updates: 1, epochs: 1, gaeLambda: 1, valueLossCoefficient: 0.5 }));
    // The critic starts at zero, so the first minibatch's errors are minus the returns, within [-1, 5].
    const { gradient, sequences } = policy.calls[0]!;
    const errors = [...gradient.values!].map((g) => (g / 0.5) * sequences.length);
    expect(Math.min(...errors)).toBeCloseTo(-1, 6);
    expect(Math.max(...errors)).toBeGreaterThan(0);
    expect(Math.max(...errors)).toBeLessThan(5);
  });

  test("of the entropies is there only with a bonus, and pushes them up", async () => {
    const without = new RecordingPolicy();
    const [plain] = await run(options({ policy: without }, { updates: 1 }));
    expect(without.calls[0]!.gradient.entropies).toBeUndefined();
    expect(plain!.metrics).not.toHaveProperty("ppo/entropy");
    const policy = new RecordingPolicy();
    const [bonus] = await run(options({ policy }, { updates: 1, entropyCoefficient: 0.3 }));
    const { gradient, scores, sequences } = policy.calls[0]!;
    expect(sum(gradient.entropies!)).toBeCloseTo(-0.3, 6);
    const first = gradient.entropies!.subarray(0, scores.offsets[1]);
    expect(sum(first)).toBeCloseTo(-0.3 / sequences.length, 8);
    expect(bonus!.metrics["ppo/entropy"]).toBeGreaterThan(0);
  });

  test("is applied to the policy and the value head apart, at rates that follow the update", async () => {
    const policy = new RecordingPolicy();
    await run(options({ policy }, { updates: 3, epochs: 1, minibatchSize: 256, valueLearningRate: 0.2 }));
    expect(policy.steps).toHaveLength(3);
    const rates = policy.steps.map(({ groups }) => groups.map(({ learningRate }) => learningRate));
    const expected = [
      [0.1, 0.2],
      [0.055, 0.11],
      [0.01, 0.02],
    ];
    expect(rates).toEqual(expected.map((pair) => pair.map((rate) => expect.closeTo(rate, 12))));
    expect(policy.steps[0]!.groups.map(({ components }) => components)).toEqual([
      ["vision", "projector", "decoder"],
      ["value_head"],
    ]);
  });

  test("rises over the warm-up, step by step", async () => {
    const policy = new RecordingPolicy();
    const steady = { updates: 2, epochs: 2, minibatchSize: 256, finalLearningRate: 0.1 };
    await run(options({ policy }, { ...steady, warmupSteps: 3 }));
    const rates = policy.steps.map(({ groups }) => groups[0]!.learningRate);
    expect(rates).toEqual([0.25, 0.5, 0.75, 1].map((share) => expect.closeTo(0.1 * share, 12)));
  });

  test("of the KL penalty is zero at first and then points back to the sampling policy", async () => {
    const free = new RecordingPolicy();
    const bound = new RecordingPolicy();
    const settings = { updates: 1, epochs: 2, minibatchSize: 256, lambda: 1 };
    await run(options({ policy: free }, settings));
    await run(options({ policy: bound }, { ...settings, klCoefficient: 0.7 }));
    expect(bound.calls[0]!.gradient).toEqual(free.calls[0]!.gradient);
    const [plain, pulled] = [free.calls[1]!, bound.calls[1]!];
    const pull = pulled.gradient.logProbs.map(
      (g, t) => (g - plain.gradient.logProbs[t]!) * pulled.sequences.length,
    );
    expect(Math.max(...pull.map(Math.abs))).toBeGreaterThan(0);
    // 0.7 (ratio - 1), and a ratio is never negative.
    expect(Math.min(...pull)).toBeGreaterThan(-0.7);
  });
});

describe("the metrics", () => {
  test("are all documented, and documented ones appear", async () => {
    const updates = await run(options({}, { updates: 2, entropyCoefficient: 0.01, successWindow: 50 }));
    const undocumented = ["rollout/reading_accuracy"]; // a line world cannot tell
    const expected = Object.keys(ppoMetrics).filter((name) => !undocumented.includes(name));
    for (const { metrics } of updates) expect(Object.keys(metrics).sort()).toEqual(expected.sort());
  });

  test("leave out what nothing defines", async () => {
    const environments: Environment[] = [new LineWorld(), new LineWorld()];
    for (const environment of environments) delete environment.optimalActions;
    const mute = { updates: 1, stepsPerEnvironment: 1, maxNewTokens: 1 };
    const [update] = await run(options({ environments }, mute));
    for (const name of ["rollout/success_rate", "rollout/return_mean", "ppo/log_prob_action_mean"]) {
      expect(update!.metrics).not.toHaveProperty([name]);
    }
    expect(update!.metrics["rollout/episodes"]).toBe(0);
    expect(update!.metrics["rollout/illegal_rate"]).toBe(1);
  });

  test("of a single minibatch describe the policy that sampled", async () => {
    const [update] = await run(options({}, { updates: 1, epochs: 1, minibatchSize: 256 }));
    expect(update!.metrics).toMatchObject({
      "rollout/log_prob_mismatch_max": 0,
      "ppo/kl": 0,
      "ppo/ratio_max": 1,
      "ppo/clip_fraction": 0,
      "ppo/learning_rate": 0.1,
      // Normalized advantages average to zero, up to rounding.
      "ppo/policy_loss": expect.closeTo(0, 12),
      // The critic starts at zero.
      "rollout/value_mean": 0,
      "ppo/explained_variance": 0,
    });
    const transitions = update!.rollout.trajectories.flatMap((trajectory) => trajectory.transitions);
    const withAction = transitions.filter(({ response }) => response.text.includes('"action":'));
    const actionTokens = ({ response }: Transition) =>
      response.logProbs.subarray(response.tokens.findLastIndex((token) => token >= 3));
    const action = withAction.map((transition) => sum(actionTokens(transition)));
    const both = withAction.map(({ response }) => sum(response.logProbs));
    const mean = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
    expect(update!.metrics["ppo/log_prob_action_mean"]).toBeCloseTo(mean(action), 6);
    expect(update!.metrics["ppo/log_prob_thought_mean"]).toBeCloseTo(mean(both) - mean(action), 6);
  });

  test("are taken over all samples of all minibatches and epochs", async () => {
    const policy = new RecordingPolicy();
    const [update] = await run(options({ policy }, { updates: 1, lambda: 1, dualClip: 1.5 }));
    const advantages = plainAdvantages(update!.rollout);
    const samples = policy.calls.flatMap(({ sequences, scores }) =>
      sequences.map(({ response }, b) => {
        const { advantage, logProbs } = advantages.get(response)!;
        const scored = scores.logProbs.subarray(scores.offsets[b]!, scores.offsets[b + 1]!);
        return { advantage, ratio: Math.exp(sum(scored) - sum(logProbs)) };
      }),
    );
    expect(samples).toHaveLength(4 * 256);
    const mean = (of: (sample: { advantage: number; ratio: number }) => number) =>
      samples.reduce((total, sample) => total + of(sample), 0) / samples.length;
    const isClipped = ({ advantage, ratio }: { advantage: number; ratio: number }) =>
      advantage >= 0 ? ratio > 1.2 : ratio < 0.8 || ratio > 1.5;
    const { metrics } = update!;
    expect(metrics["ppo/ratio_max"]).toBeCloseTo(Math.max(...samples.map(({ ratio }) => ratio)), 6);
    expect(metrics["ppo/ratio_max"]).toBeGreaterThan(1.2);
    expect(metrics["ppo/kl"]).toBeCloseTo(
      mean(({ ratio }) => ratio - 1 - Math.log(ratio)),
      6,
    );
    expect(metrics["ppo/clip_fraction"]).toBeCloseTo(
      mean((sample) => Number(isClipped(sample))),
      12,
    );
    expect(metrics["ppo/clip_fraction"]).toBeGreaterThan(0);
  });
});

/** Normalized advantages as the definition has them, A_t = sum_l (γ lambda)^l delta_(t+l), by response. */
function plainAdvantages(rollout: Rollout): Map<Int32Array, { advantage: number; logProbs: Float32Array }> {
  const { gamma, gaeLambda } = config;
  const found: { transition: Transition; advantage: number }[] = [];
  for (const { transitions } of rollout.trajectories) {
    transitions.forEach((transition, start) => {
      let advantage = 0;
      for (let t = start; t < transitions.length; t++) {
        const { reward, terminated, truncated, bootstrapValue, response } = transitions[t]!;
        const isLast = terminated || truncated || t === transitions.length - 1;
        const next = terminated ? 0 : isLast ? bootstrapValue : transitions[t + 1]!.response.value;
        advantage += (gamma * gaeLambda) ** (t - start) * (reward + gamma * next - response.value);
        if (isLast) break;
      }
      found.push({ transition, advantage });
    });
  }
  const mean = found.reduce((total, { advantage }) => total + advantage, 0) / found.length;
  const squares = found.reduce((total, { advantage }) => total + (advantage - mean) ** 2, 0);
  const std = Math.sqrt(squares / (found.length - 1));
  return new Map(
    found.map(({ transition: { response }, advantage }) => [
      response.tokens,
      { advantage: (advantage - mean) / std, logProbs: response.logProbs },
    ]),
  );
}

function sum(numbers: Float32Array): number {
  return numbers.reduce((total, x) => total + x, 0);
}
