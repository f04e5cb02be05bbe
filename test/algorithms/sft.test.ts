import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AlgorithmError } from "../../src/algorithms/algorithm-error.js";
import {
  type DemonstrationSource,
  type DemonstratorOptions,
  ExpertDemonstrations,
  type ExpertWalk,
} from "../../src/algorithms/demonstrations.js";
import {
  type SftConfig,
  type SftOptions,
  type SftUpdate,
  sft,
  sftMetrics,
} from "../../src/algorithms/sft.js";
import type { ForwardResult } from "../../src/native/types.js";
import { type LineInfo, LineWorld, lineExpert, SlowLineWorld } from "../fakes/line-world.js";
import { RecordingPolicy } from "../fakes/recording-policy.js";
import type { TabularPolicy } from "../fakes/tabular-policy.js";

const config: SftConfig = {
  steps: 120,
  batchSize: 16,
  learningRate: 0.2,
  warmupSteps: 5,
  finalLearningRateFraction: 0.05,
  maxGradientNorm: 1,
  weightDecay: 0,
  adamBetas: [0.9, 0.95],
  adamEpsilon: 1e-8,
};

const walk: ExpertWalk = { errorRate: 0, maxRandomSteps: 3, randomActionRate: 1 };

function lineDemonstrations(
  overrides: Partial<DemonstratorOptions<LineInfo>> = {},
  changes: Partial<ExpertWalk> = {},
): DemonstrationSource {
  const options = { environment: new LineWorld(), expert: lineExpert, seed: 1, ...overrides };
  return new ExpertDemonstrations(options, { ...walk, ...changes });
}

interface LineSft extends SftOptions {
  policy: RecordingPolicy;
}

function options(overrides: Partial<LineSft> = {}, changes: Partial<SftConfig> = {}): LineSft {
  return {
    policy: new RecordingPolicy(),
    demonstrations: lineDemonstrations(),
    config: { ...config, ...changes },
    seed: 1,
    ...overrides,
  };
}

async function run(of: LineSft): Promise<SftUpdate[]> {
  const updates: SftUpdate[] = [];
  for await (const update of sft(of)) updates.push(update);
  return updates;
}

describe("sft", () => {
  test("learns to imitate the expert and leaves the value head alone", async () => {
    const of = options();
    const updates = await run(of);
    expect(updates[0]!.metrics["sft/loss"]).toBeGreaterThan(0.4);
    expect(updates.at(-1)!.metrics["sft/loss"]).toBeLessThan(0.05);
    expect(of.policy.parameters().values.every((value) => value === 0)).toBe(true);
  });

  test("reaches the entropy of an expert that errs", async () => {
    const updates = await run(
      options({ demonstrations: lineDemonstrations({}, { errorRate: 0.5 }) }, { steps: 200 }),
    );
    const tail = updates.slice(-50).map(({ metrics }) => metrics["sft/loss"]!);
    // One fair coin in three tokens.
    expect(tail.reduce((a, b) => a + b, 0) / tail.length).toBeCloseTo(Math.LN2 / 3, 1);
  });

  test("minimizes the mean cross-entropy of all response tokens of the batch", async () => {
    const of = options({}, { steps: 1 });
    const [update] = await run(of);
    expect(update!.metrics["sft/tokens"]).toBe(48);
    const { gradient } = of.policy.calls[0]!;
    expect([...gradient.logProbs]).toEqual(Array(48).fill(Math.fround(-1 / 48)));
    expect(gradient.values).toBeUndefined();
    // Before the first step each token leads by 5: two of two allowed, two of two, one of one.
    const chosen = (allowed: number) => Math.log(allowed * Math.exp(5) + 5 - allowed) - 5;
    const expected = (2 * chosen(2) + chosen(1)) / 3;
    expect(update!.metrics["sft/loss"]).toBeCloseTo(expected, 6);
  });

  test("is a pure function of config and seed, whatever the delays of the environment", async () => {
    const changes = { steps: 10 };
    const expected = await run(options({}, changes));
    const slow = lineDemonstrations({ environment: new SlowLineWorld(1) });
    expect(await run(options({ demonstrations: slow }, changes))).toEqual(expected);
    expect(await run(options({ demonstrations: lineDemonstrations({ seed: 2 }) }, changes))).not.toEqual(
      expected,
    );
  });

  test("resumes to the same numbers, bit for bit", async () => {
    const uninterrupted = options({}, { steps: 10 });
    const expected = await run(uninterrupted);
    const folder = await mkdtemp(join(tmpdir(), "sft-"));
    const model = join(folder, "model.json");
    const first = options({}, { steps: 10 });
    let saved = "";
    for await (const { step, state } of sft(first)) {
      if (step !== 4) continue;
      await first.policy.save({ model });
      saved = JSON.stringify(state);
      break;
    }
    const second = options({ resume: JSON.parse(saved) }, { steps: 10 });
    await second.policy.load({ model });
    await rm(folder, { recursive: true });
    expect(await run(second)).toEqual(expected.slice(4));
    expect(second.policy.parameters()).toEqual(uninterrupted.policy.parameters());
  });

  test("warms up, then falls to the final fraction, and hands the optimizer its settings", async () => {
    const of = options({}, { steps: 10, warmupSteps: 1, weightDecay: 0.1 });
    const rates = (await run(of)).map(({ metrics }) => metrics["sft/learning_rate"]);
    expect(rates[0]).toBeCloseTo(0.1, 12);
    expect(rates[1]).toBeCloseTo(0.2, 12);
    expect(rates[9]).toBeCloseTo(0.01, 12);
    expect(of.policy.steps[1]).toEqual({
      groups: [
        {
          components: ["vision", "projector", "decoder"],
          learningRate: rates[1],
          maxGradientNorm: 1,
          weightDecay: 0.1,
        },
      ],
      betas: [0.9, 0.95],
      epsilon: 1e-8,
    });
  });

  test("documents its metrics", async () => {
    const [update] = await run(options({}, { steps: 1 }));
    expect(Object.keys(update!.metrics)).toEqual(Object.keys(sftMetrics));
  });

  test("stops between two steps when aborted", async () => {
    const controller = new AbortController();
    const generator = sft(options({ signal: controller.signal }));
    await generator.next();
    controller.abort(new Error("interrupted"));
    await expect(generator.next()).rejects.toThrow("interrupted");
  });

  test("refuses settings out of range", async () => {
    const refused = run(options({}, { batchSize: 0, weightDecay: -1 }));
    await expect(refused).rejects.toThrow(AlgorithmError);
    await expect(refused).rejects.toMatchObject({
      code: "INVALID_CONFIG",
      message:
        "sft.batchSize: expected an integer >= 1, received 0\n" +
        "sft.weightDecay: expected a number >= 0, received -1",
    });
  });

  test("refuses a loss that is not a number, before a step is taken with it", async () => {
    class Broken extends RecordingPolicy {
      override async score(...args: Parameters<TabularPolicy["score"]>): Promise<ForwardResult> {
        const scores = await super.score(...args);
        scores.logProbs[0] = Number.NaN;
        return scores;
      }
    }
    const policy = new Broken();
    await expect(run(options({ policy }))).rejects.toMatchObject({
      code: "NOT_FINITE",
      message: expect.stringMatching(/^step 1: expected finite numbers, received loss NaN/),
    });
    expect(policy.steps).toHaveLength(0);
  });
});
