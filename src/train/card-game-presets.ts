/** Presets of the card games on models small enough for two cores. */
import type { RunConfigInput } from "./config.js";

/**
 * PPO on EZPoints from the checkpoint that ships: a model that reads both cards and is wrong about the next token every other
 * time. A formula is rewarded only at its end, so the advantages look far ahead.
 */
const ezPoints: RunConfigInput = {
  algorithm: "ppo",
  task: "ez-points",
  model: { checkpoint: "tiny-vlm-ez-points", frozen: ["vision"] },
  precision: "bf16",
  ppo: {
    updates: 20,
    minibatchSize: 128,
    dualClip: 3,
    klCoefficient: 1,
    learningRate: 3e-4,
    finalLearningRate: 5e-5,
    warmupSteps: 16,
  },
};

/**
 * The supervised start of `ez-points`, from fresh weights: the expert reads the cards and the formula correctly and errs in every
 * second decision. It plays most of the way to the states that it demonstrates, since random tokens ruin a formula.
 */
const ezPointsSft: RunConfigInput = {
  algorithm: "sft",
  task: "ez-points",
  model: { checkpoint: "tiny-vlm-ez-points", weights: "fresh" },
  precision: "bf16",
  sft: { steps: 3000, errorRate: 0.5, maxRandomSteps: 5, randomActionRate: 0.15 },
  // Fresh weights write on to the limit of every response: the panel before training is the costly part.
  evaluation: { episodes: 20 },
};

export const cardGamePresets: Readonly<Record<string, () => RunConfigInput>> = {
  "ez-points": () => ezPoints,
  "ez-points-sft": () => ezPointsSft,
};
