/** Complete configurations by name. A preset states what differs from the schema's defaults. */
import { type PpoRunConfig, parseConfig, type RunConfigInput, type SftRunConfig } from "./config.js";
import { paperScalePresets } from "./paper-scale-presets.js";

/**
 * PPO on NumberLine from the checkpoint that ships: a model that reads both numbers and decides no better
 * than chance. The KL penalty keeps it reading while it learns to decide; dual clip and the floor on the
 * advantages' deviation keep it from collapsing once nearly every episode succeeds and advantages are noise.
 */
const numberLineInput: RunConfigInput = {
  algorithm: "ppo",
  task: "number-line",
  // The start reads the numbers; what is left to learn is the decision.
  model: { checkpoint: "tiny-vlm", frozen: ["vision"] },
  precision: "bf16",
  ppo: {
    updates: 14,
    // The game has 30 states, and a minibatch computes each distinct prompt once.
    minibatchSize: 128,
    dualClip: 3,
    klCoefficient: 2,
    // Every move is rewarded at once, so what comes much later is mostly noise.
    gaeLambda: 0.3,
    learningRate: 3e-4,
    finalLearningRate: 5e-5,
    warmupSteps: 16,
  },
};

/** The preset `number-line`, complete. */
export function numberLine(): PpoRunConfig {
  return parseConfig(numberLineInput, "preset number-line") as PpoRunConfig;
}

/**
 * The supervised start of `number-line`, from fresh weights: the expert reads the numbers correctly and is
 * wrong about the move more often than not, so that the rule itself is left to reinforcement learning.
 */
export function numberLineSft(): SftRunConfig {
  const config: RunConfigInput = {
    algorithm: "sft",
    task: "number-line",
    model: { checkpoint: "tiny-vlm", weights: "fresh" },
    sft: { steps: 1200, errorRate: 0.55 },
    // Fresh weights write on to the limit of every response: the panel before training is the costly part.
    evaluation: { episodes: 100 },
  };
  return parseConfig(config, "preset number-line-sft") as SftRunConfig;
}

/** Goes on from the run of `number-line-sft` with other demonstrations: digits are read with a wide margin. */
export function numberLineSftRefine(): SftRunConfig {
  const { sft, ...first } = numberLineSft();
  const config: RunConfigInput = {
    ...first,
    model: { checkpoint: "runs/tiny-vlm/checkpoints/best" },
    seed: 2,
    sft: { ...sft, steps: 1000 },
  };
  return parseConfig(config, "preset number-line-sft-refine") as SftRunConfig;
}

/**
 * The presets that the command line knows, by name: what each states itself, so that what it leaves open follows the mode that
 * a run is started with. `resolveConfig` completes them.
 */
export const presets: Readonly<Record<string, () => RunConfigInput>> = {
  "number-line": () => numberLineInput,
  "number-line-sft": numberLineSft,
  "number-line-sft-refine": numberLineSftRefine,
  ...paperScalePresets,
};
