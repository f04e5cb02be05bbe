import { describe, expect, test } from "vitest";
import { ExpertDemonstrations } from "../../src/algorithms/demonstrations.js";
import { noQuirks } from "../../src/algorithms/quirks.js";
import { type SftConfig, sft } from "../../src/algorithms/sft.js";
import { LineWorld, lineExpert } from "../fakes/line-world.js";
import { TabularPolicy } from "../fakes/tabular-policy.js";
import { options, run } from "./ppo-run.js";

/** Notes the key of every pass that scores. */
class KeyNotingPolicy extends TabularPolicy {
  readonly beginToken = 4;
  readonly keys: string[] = [];

  override score(...[sequences, settings]: Parameters<TabularPolicy["score"]>) {
    this.keys.push(String(settings?.dropoutKey));
    return super.score(sequences, settings);
  }
}

async function keysOfPpo(seed: number): Promise<string[]> {
  const policy = new KeyNotingPolicy();
  const quirks = { ...noQuirks, insertBeginToken: true };
  await run(options({ policy, quirks, seed }, { updates: 2, minibatchSize: 128, microbatchSize: 50 }));
  return policy.keys;
}

async function keysOfSft(seed: number): Promise<string[]> {
  const policy = new KeyNotingPolicy();
  const config: SftConfig = {
    steps: 6,
    batchSize: 4,
    learningRate: 0.2,
    warmupSteps: 0,
    finalLearningRateFraction: 1,
    maxGradientNorm: 1,
    weightDecay: 0,
    adamBetas: [0.9, 0.95],
    adamEpsilon: 1e-8,
  };
  const demonstrations = new ExpertDemonstrations(
    { environment: new LineWorld(), expert: lineExpert, seed },
    { errorRate: 0, maxRandomSteps: 3, randomActionRate: 1 },
  );
  for await (const _ of sft({ policy, demonstrations, config, seed }));
  return policy.keys;
}

describe.each([
  // Of 256 decisions: six parts before an update, then four epochs of two minibatches of three parts.
  ["ppo", keysOfPpo, 2 * (6 + 4 * 2 * 3)],
  ["sft", keysOfSft, 6],
] as const)("%s", (_name, keysOf, passes) => {
  test("gives every pass a dropout key of its own, by the seed", async () => {
    const keys = await keysOf(1);
    expect(keys).toHaveLength(passes);
    expect(new Set(keys).size).toBe(passes);
    expect(keys.every((key) => /^\d+,\d+$/.test(key))).toBe(true);
    expect(await keysOf(1)).toEqual(keys);
    const others = new Set(await keysOf(2));
    expect(keys.some((key) => others.has(key))).toBe(false);
  });
});
