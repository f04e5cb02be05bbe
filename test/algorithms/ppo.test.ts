import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Environment } from "../../envs/env.js";
import { AlgorithmError } from "../../src/algorithms/algorithm-error.js";
import { type PpoConfig, type PpoOptions, type PpoUpdate, ppo } from "../../src/algorithms/ppo.js";
import { ppoMetrics } from "../../src/algorithms/ppo-metrics.js";
import type { ForwardResult, OptimizerStep, OutputGradient, Sequence } from "../../src/native/types.js";
import type { Rollout, Transition } from "../../src/rollout/trajectory.js";
import { LineWorld, pause, SlowLineWorld } from "../fakes/line-world.js";
import { TabularPolicy } from "../fakes/tabular-policy.js";

const config: PpoConfig = {
  updates: 25,
  stepsPerEnvironment: 16,
  epochs: 4,
  minibatchSize: 64,
  clipRange: 0.2,
  dualClip: 3,
  gamma: 0.9,
  gaeLambda: 0.95,
  lambda: 0.5,
  learningRate: 0.1,
  finalLearningRate: 0.01,
  valueLearningRate: 0.1,
  valueLossCoefficient: 0.5,
  entropyCoefficient: 0,
  advantageStdFloor: 0.1,
  maxGradientNorm: 0.5,
  valueMaxGradientNorm: 0.5,
  adamBetas: [0.9, 0.999],
  adamEpsilon: 1e-5,
  temperature: 1,
  topK: 0,
  topP: 1,
  maxNewTokens: 4,
  maxLogProbMismatch: 0,
};

function options(overrides: Partial<PpoOptions> = {}, changes: Partial<PpoConfig> = {}): PpoOptions {
  return {
    policy: new TabularPolicy(),
    environments: Array.from({ length: 16 }, () => new LineWorld()),
    config: { ...config, ...changes },
    seed: 1,
    ...overrides,
  };
}

async function run(of: PpoOptions): Promise<PpoUpdate[]> {
  const updates: PpoUpdate[] = [];
  for await (const update of ppo(of)) updates.push(update);
  return updates;
}

async function failure(of: PpoOptions): Promise<AlgorithmError> {
  const error = await run(of).then(
    () => expect.fail("the run went through"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AlgorithmError);
  return error as AlgorithmError;
}

interface Call {
  readonly sequences: readonly Sequence[];
  readonly scores: ForwardResult;
  readonly gradient: OutputGradient;
}

/** Keeps what the algorithm asked of it. */
class RecordingPolicy extends TabularPolicy {
  readonly calls: Call[] = [];
  readonly steps: OptimizerStep[] = [];
  #scored: readonly Sequence[] = [];

  override score(...args: Parameters<TabularPolicy["score"]>): Promise<ForwardResult> {
    [this.#scored] = args;
    return super.score(...args);
  }

  override backward(scores: ForwardResult, gradient: OutputGradient): Promise<void> {
    this.calls.push({ sequences: this.#scored, scores, gradient });
    return super.backward(scores, gradient);
  }

  override step(step: OptimizerStep): ReturnType<TabularPolicy["step"]> {
    this.steps.push(step);
    return super.step(step);
  }
}

describe("ppo", () => {
  test("learns a task that it starts at chance", async () => {
    const updates = await run(options());
    const rates = updates.map(({ metrics }) => metrics["rollout/success_rate"]!);
    expect(rates[0]).toBeLessThan(0.5);
    expect(Math.min(...rates.slice(-5))).toBeGreaterThan(0.95);
  });

  test("learns with plain log-probs, on actions alone, and with a clipped value loss", async () => {
    const variants = [{ lambda: 1 }, { lambda: 0 }, { valueClipRange: 0.5, dualClip: undefined }];
    for (const changes of variants) {
      const last = (await run(options({ seed: 2 }, changes))).at(-1)!;
      expect(last.metrics["rollout/success_rate"]).toBeGreaterThan(0.95);
    }
  });

  test("is a pure function of config and seed, whatever the delays of environments", async () => {
    const changes = { updates: 4 };
    const environments = Array.from({ length: 16 }, (_, index) => new SlowLineWorld(index));
    const expected = await run(options({}, changes));
    expect(await run(options({ environments }, changes))).toEqual(expected);
    expect(await run(options({ seed: 2 }, changes))).not.toEqual(expected);
  });

  test("resumes to the same numbers, bit for bit", async () => {
    const uninterrupted = options({}, { updates: 6 });
    const expected = await run(uninterrupted);

    const folder = await mkdtemp(join(tmpdir(), "ppo-"));
    const model = join(folder, "model.json");
    const first = options({}, { updates: 6 });
    let saved = "";
    for await (const { update, state } of ppo(first)) {
      if (update !== 3) continue;
      await first.policy.save({ model });
      saved = JSON.stringify(state);
      break;
    }
    const second = options({ resume: JSON.parse(saved) }, { updates: 6 });
    await second.policy.load({ model });
    await rm(folder, { recursive: true });

    expect(await run(second)).toEqual(expected.slice(3));
    const parameters = ({ policy }: PpoOptions) => (policy as TabularPolicy).parameters();
    expect(parameters(second)).toEqual(parameters(uninterrupted));
  });

  test("scores at the temperature of sampling", async () => {
    const [update] = await run(options({}, { updates: 1, temperature: 0.5 }));
    expect(update!.metrics["rollout/log_prob_mismatch_max"]).toBe(0);
  });

  test("counts updates from 1 and steps over all environments", async () => {
    const updates = await run(options({}, { updates: 3 }));
    expect(updates.map(({ update }) => update)).toEqual([1, 2, 3]);
    expect(updates.map(({ environmentSteps }) => environmentSteps)).toEqual([256, 512, 768]);
    for (const { update, environmentSteps, state } of updates) {
      expect(state).toMatchObject({ update, environmentSteps });
      expect(JSON.parse(JSON.stringify(state))).toEqual(state);
    }
  });

  test("does nothing more for a run that has made all its updates", async () => {
    const [last] = (await run(options({}, { updates: 2 }))).slice(-1);
    expect(await run(options({ resume: last!.state }, { updates: 2 }))).toEqual([]);
  });
});

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
});

describe("the metrics", () => {
  test("are all documented, and documented ones appear", async () => {
    const updates = await run(options({}, { updates: 2, entropyCoefficient: 0.01 }));
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
});

describe("ppo refuses", () => {
  test("settings out of range, all of them at once", async () => {
    const changes = { clipRange: 1, temperature: 0, updates: 1.5, adamBetas: [0.9, 1] as [number, number] };
    const error = await failure(options({}, changes));
    expect(error.code).toBe("INVALID_CONFIG");
    expect(error.message.split("\n").sort()).toEqual([
      "ppo.adamBetas: expected two numbers in [0, 1), received 0.9,1",
      "ppo.clipRange: expected a number in (0, 1), received 1",
      "ppo.temperature: expected a number > 0, received 0",
      "ppo.updates: expected an integer >= 1, received 1.5",
    ]);
  });

  test("a dual clip inside the clip range", async () => {
    const { message } = await failure(options({}, { clipRange: 0.5, dualClip: 1.2 }));
    expect(message).toBe("ppo.dualClip: expected a number > 1.5 or nothing, received 1.2");
  });

  /** Changes the scored log-probs of one call. */
  class TamperingPolicy extends RecordingPolicy {
    readonly #call: number;
    readonly #tamper: (scores: ForwardResult) => void;
    #scores = 0;

    constructor(call: number, tamper: (scores: ForwardResult) => void) {
      super();
      this.#call = call;
      this.#tamper = tamper;
    }

    override async score(...args: Parameters<TabularPolicy["score"]>): Promise<ForwardResult> {
      const scores = await super.score(...args);
      if (this.#scores++ === this.#call) this.#tamper(scores);
      return scores;
    }
  }

  test("log-probs that differ between sampling and scoring, unless told that they may", async () => {
    const shift = (scores: ForwardResult) => {
      scores.logProbs[3]! -= 0.25;
    };
    const policy = new TamperingPolicy(0, shift);
    const error = await failure(options({ policy }));
    expect(error.code).toBe("LOG_PROB_MISMATCH");
    expect(error.message).toMatch(/^update 1, epoch 0, minibatch 0: .* differ by 0\.25/);
    expect(policy.steps).toHaveLength(0);

    const allowed = options(
      { policy: new TamperingPolicy(0, shift) },
      { updates: 1, maxLogProbMismatch: 0.3 },
    );
    const [update] = await run(allowed);
    expect(update!.metrics["rollout/log_prob_mismatch_max"]).toBeCloseTo(0.25, 6);
  });

  test.each([
    ["a log-prob", (scores: ForwardResult) => void scores.logProbs.fill(Number.NaN, 0, 1), /log-prob NaN/],
    ["a value", (scores: ForwardResult) => void scores.values.fill(Number.NaN, 0, 1), /value loss NaN/],
  ])("%s that is not a number, before a step is taken with it", async (_what, tamper, message) => {
    const policy = new TamperingPolicy(2, tamper);
    const error = await failure(options({ policy }));
    expect(error.code).toBe("NOT_FINITE");
    expect(error.message).toMatch(/^update 1, epoch 0, minibatch 2, sample 0: expected finite numbers/);
    expect(error.message).toMatch(message);
    expect(policy.steps).toHaveLength(2);
  });

  test("a gradient that is not finite", async () => {
    class Exploding extends TabularPolicy {
      override async step(): Promise<{ gradientNorms: number[] }> {
        return { gradientNorms: [Number.POSITIVE_INFINITY, 1] };
      }
    }
    const error = await failure(options({ policy: new Exploding() }));
    expect(error.code).toBe("NOT_FINITE");
    expect(error.message).toContain("gradient norm Infinity");
  });
});

describe("an abort", () => {
  test("during collection ends the run with the signal's reason and leaves the last update's weights", async () => {
    const controller = new AbortController();
    const environments = Array.from({ length: 16 }, (_, index) => new SlowLineWorld(index));
    const of = options({ environments, signal: controller.signal });
    const generator = ppo(of);
    await generator.next();
    const { logits } = (of.policy as TabularPolicy).parameters();
    const next = generator.next();
    await pause(3);
    controller.abort(new Error("interrupted"));
    await expect(next).rejects.toThrow("interrupted");
    expect((of.policy as TabularPolicy).parameters().logits).toEqual(logits);
  });

  test("during the epochs lets the update finish first", async () => {
    const controller = new AbortController();
    class Aborting extends TabularPolicy {
      override backward(...args: Parameters<TabularPolicy["backward"]>): Promise<void> {
        controller.abort(new Error("interrupted"));
        return super.backward(...args);
      }
    }
    const generator = ppo(options({ policy: new Aborting(), signal: controller.signal }));
    expect((await generator.next()).value).toMatchObject({ update: 1 });
    await expect(generator.next()).rejects.toThrow("interrupted");
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
