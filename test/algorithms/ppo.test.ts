import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AlgorithmError } from "../../src/algorithms/algorithm-error.js";
import { type PpoOptions, ppo } from "../../src/algorithms/ppo.js";
import type { ForwardResult } from "../../src/native/types.js";
import { pause, SlowLineWorld } from "../fakes/line-world.js";
import { RecordingPolicy } from "../fakes/recording-policy.js";
import { TabularPolicy } from "../fakes/tabular-policy.js";
import { options, run } from "./ppo-run.js";

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

  test("shuffles anew for every epoch of every update, and uses each transition once per epoch", async () => {
    const policy = new RecordingPolicy();
    const updates = await run(options({ policy }, { updates: 2, epochs: 3 }));
    const perEpoch = policy.calls.length / 6;
    const orders = new Set<string>();
    for (let epoch = 0; epoch < 6; epoch++) {
      const { trajectories } = updates[Math.floor(epoch / 3)]!.rollout;
      const responses = trajectories.flatMap(({ transitions }) => transitions.map((t) => t.response.tokens));
      const used = policy.calls.slice(epoch * perEpoch, (epoch + 1) * perEpoch);
      const order = used.flatMap(({ sequences }) => sequences.map((s) => responses.indexOf(s.response)));
      expect([...order].sort((a, b) => a - b)).toEqual(responses.map((_, index) => index));
      orders.add(order.join());
    }
    expect(orders.size).toBe(6);
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

async function failure(of: PpoOptions): Promise<AlgorithmError> {
  const error = await run(of).then(
    () => expect.fail("the run went through"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AlgorithmError);
  return error as AlgorithmError;
}

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

    const unchecked = options(
      { policy: new TamperingPolicy(0, shift) },
      { updates: 1, maxLogProbMismatch: null },
    );
    const [reported] = await run(unchecked);
    expect(reported!.metrics["rollout/log_prob_mismatch_max"]).toBeCloseTo(0.25, 6);
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
