import { type PpoConfig, type PpoOptions, type PpoUpdate, ppo } from "../../src/algorithms/ppo.js";
import { LineWorld } from "../fakes/line-world.js";
import { TabularPolicy } from "../fakes/tabular-policy.js";

/** Learns a line world with a tabular policy. */
export const config: PpoConfig = {
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
  warmupSteps: 0,
  valueLossCoefficient: 0.5,
  klCoefficient: 0,
  entropyCoefficient: 0,
  advantageStdFloor: 0.1,
  advantageEpsilon: 0,
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

export function options(overrides: Partial<PpoOptions> = {}, changes: Partial<PpoConfig> = {}): PpoOptions {
  return {
    policy: new TabularPolicy(),
    environments: Array.from({ length: 16 }, () => new LineWorld()),
    config: { ...config, ...changes },
    seed: 1,
    ...overrides,
  };
}

export async function run(of: PpoOptions): Promise<PpoUpdate[]> {
  const updates: PpoUpdate[] = [];
  for await (const update of ppo(of)) updates.push(update);
  return updates;
}
