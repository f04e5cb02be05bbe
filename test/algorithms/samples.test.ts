import { describe, expect, test } from "vitest";
import { noQuirks } from "../../src/algorithms/quirks.js";
import { logProbMismatch, shuffledMinibatches, toSamples } from "../../src/algorithms/samples.js";
import { Scoring } from "../../src/algorithms/scoring.js";
import { deriveKey, Random } from "../../src/random.js";
import { Collector } from "../../src/rollout/collector.js";
import { LineWorld } from "../fakes/line-world.js";
import { TabularPolicy } from "../fakes/tabular-policy.js";

const settings = {
  gamma: 0.9,
  gaeLambda: 0.95,
  advantageStdFloor: 0,
  advantageEpsilon: 0,
  temperature: 1,
  batchSize: 16,
  terminalTimeouts: false,
  dropoutKey: (batch: number) => deriveKey(1, batch),
};
const policy = new TabularPolicy();
const environments = [new LineWorld(), new LineWorld(), new LineWorld()];
const collection = { environments, policy, seed: 3, sampling: { temperature: 1 }, maxNewTokens: 4 };
const rollout = await new Collector(collection).collect(20);
const scoring = new Scoring(policy, noQuirks, 0.5);
const samples = await toSamples(rollout, policy, scoring, settings);

describe("toSamples", () => {
  test("takes the transitions in order of environment, then time", () => {
    const transitions = rollout.trajectories.flatMap((trajectory) => trajectory.transitions);
    expect(samples.map(({ sequence }) => sequence.response)).toEqual(
      transitions.map(({ response }) => response.tokens),
    );
    expect(samples.map(({ sequence }) => sequence.prompt)).toEqual(transitions.map(({ prompt }) => prompt));
  });

  test("weighs thought tokens λ, action tokens 1, and a response without action λ throughout", () => {
    const thoughtful = samples.find(({ sequence }) => [...sequence.response].join() === "1,3,0")!;
    expect([...thoughtful.weights]).toEqual([0.5, 1, 1]);
    expect(thoughtful.parts.action.start).toBe(1);
    const [p0, p1, p2] = thoughtful.oldLogProbs as unknown as [number, number, number];
    expect(thoughtful.oldLogProb).toBe(0.5 * p0 + p1 + p2);
    const mute = samples.find(({ hasAction }) => !hasAction)!;
    expect(new Set(mute.weights)).toEqual(new Set([0.5]));
  });

  test("normalizes advantages over the whole rollout but not the returns", async () => {
    const mean = samples.reduce((sum, { advantage }) => sum + advantage, 0) / samples.length;
    expect(mean).toBeCloseTo(0, 12);
    // The values are zero at first, so with lambda 1 returns are discounted sums of rewards, at most 1.
    const monteCarlo = await toSamples(rollout, policy, scoring, { ...settings, gaeLambda: 1 });
    const terminal = rollout.trajectories[0]!.transitions.findIndex(({ terminated }) => terminated);
    expect(monteCarlo[terminal]!.return).toBe(1);
  });
});

describe("toSamples with settings of paper mode", () => {
  test("adds the epsilon to what advantages are divided by", async () => {
    const deviation = Math.sqrt(samples.reduce((sum, { advantage }) => sum + advantage ** 2, 0) / 59);
    expect(deviation).toBeCloseTo(1, 12);
    const raw = await toSamples(rollout, policy, scoring, { ...settings, advantageStdFloor: 1e9 });
    const spread = 1e9 * Math.sqrt(raw.reduce((sum, { advantage }) => sum + advantage ** 2, 0) / 59);
    const padded = await toSamples(rollout, policy, scoring, { ...settings, advantageEpsilon: spread });
    padded.forEach(({ advantage }, i) => {
      expect(advantage).toBeCloseTo(samples[i]!.advantage / 2, 9);
    });
  });

  test("scores old log-probs at the temperature of sampling", async () => {
    const beginning = Object.assign(new TabularPolicy(), { beginToken: 4 });
    const own = new Scoring(beginning, { ...noQuirks, insertBeginToken: true }, 0.5);
    const at = (temperature: number) => toSamples(rollout, beginning, own, { ...settings, temperature });
    const [cold, warm] = [await at(0.5), await at(2)];
    const { logProbs } = await beginning.score(
      cold.map(({ sequence }) => sequence),
      { temperature: 0.5 },
    );
    expect(cold.flatMap(({ oldLogProbs }) => [...oldLogProbs])).toEqual([...logProbs]);
    expect(warm.map(({ oldLogProb }) => oldLogProb)).not.toEqual(cold.map(({ oldLogProb }) => oldLogProb));
  });
});

describe("shuffledMinibatches", () => {
  const random = () => new Random(deriveKey(1));

  test.each([
    [20, [20, 20, 20]],
    [64, [60]],
    [59, [30, 30]],
    [7, [6, 7, 7, 6, 7, 7, 6, 7, 7]],
  ])("splits 60 samples evenly into batches of at most %d", (size, sizes) => {
    expect(shuffledMinibatches(samples, size, random()).map(({ length }) => length)).toEqual(sizes);
  });

  test("holds every sample once, in an order that the random numbers fix", () => {
    const order = shuffledMinibatches(samples, 7, random()).flat();
    expect(new Set(order)).toEqual(new Set(samples));
    expect(order).toHaveLength(samples.length);
    expect(order).not.toEqual(samples);
    expect(shuffledMinibatches(samples, 7, random()).flat()).toEqual(order);
  });
});

describe("logProbMismatch", () => {
  test("is the largest difference over all tokens", () => {
    const old = [Float32Array.of(-1, -2), Float32Array.of(-3)];
    const minibatch = old.map((oldLogProbs) => ({ oldLogProbs, keepsContext: true }));
    const scores = {
      logProbs: Float32Array.of(-1, -2.5, -2.25),
      offsets: Int32Array.of(0, 2, 3),
      values: new Float32Array(2),
      tape: 0,
    };
    expect(logProbMismatch(minibatch, scores)).toBe(0.75);
    const [first, second] = minibatch;
    expect(logProbMismatch([first!, { ...second!, keepsContext: false }], scores)).toBe(0.5);
    const elsewhere = minibatch.map((sample) => ({ ...sample, keepsContext: false }));
    expect(logProbMismatch(elsewhere, scores)).toBeUndefined();
  });
});
