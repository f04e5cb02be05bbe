/** Presets of the card games on models small enough for two cores. */
import type { RunConfigInput } from "./config.js";
import { publishedPanels } from "./published-panels.js";

/** A Points24 answer takes up to 106 tokens. */
const POINTS24_TOKENS = 112;

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
  evaluation: publishedPanels["ez-points"]!,
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

/**
 * PPO on Points24 from the checkpoint that ships: a model that knows formulas, reads all four cards in four of five answers and is
 * wrong about the next token every other time. A decision is thought out in some 74 tokens and about eight in a row must be right:
 * each moves the policy far and tells little, so thoughts weigh less, the learning rate is lower than in the other games, and an update
 * rests on 1024 decisions.
 */
const points24: RunConfigInput = {
  algorithm: "ppo",
  task: "points24",
  model: { checkpoint: "tiny-vlm-points24", frozen: ["vision"] },
  precision: "bf16",
  environments: 64,
  ppo: {
    updates: 22,
    minibatchSize: 256,
    lambda: 0.3,
    dualClip: 3,
    klCoefficient: 1,
    learningRate: 2e-4,
    finalLearningRate: 3e-5,
    warmupSteps: 8,
    maxNewTokens: POINTS24_TOKENS,
  },
  evaluation: publishedPanels.points24!,
};

/**
 * The first of the runs that made the start of `points24` (assets/tiny-vlm-points24), from that of `ez-points`, which reads two cards:
 * the expert plans a formula for its hand, and errs in three of ten decisions.
 */
const points24Sft: RunConfigInput = {
  algorithm: "sft",
  task: "points24",
  model: { checkpoint: "tiny-vlm-ez-points" },
  precision: "bf16",
  sft: { steps: 3000, errorRate: 0.3, maxRandomSteps: 7, randomActionRate: 0.05 },
  evaluation: { episodes: 100, maxNewTokens: POINTS24_TOKENS },
};

/** The last of them, on a model that reads cards and knows formulas: the expert errs in every second decision. */
const points24SftErrors: RunConfigInput = {
  ...points24Sft,
  model: { checkpoint: "runs/points24-5/checkpoints/best" },
  seed: 6,
  sft: { ...points24Sft.sft, steps: 1000, learningRate: 5e-4, errorRate: 0.5 },
};

/**
 * PPO on Blackjack from the checkpoint that ships: a model that counts its points and decides no better than a coin. A hand's end is
 * mostly chance, so an update rests on 1024 decisions, and a checkpoint is chosen on 1000 further hands.
 */
const blackjack: RunConfigInput = {
  algorithm: "ppo",
  task: "blackjack",
  model: { checkpoint: "tiny-vlm-blackjack", frozen: ["vision"] },
  precision: "bf16",
  environments: 64,
  ppo: {
    updates: 25,
    minibatchSize: 256,
    dualClip: 3,
    klCoefficient: 1,
    learningRate: 3e-4,
    finalLearningRate: 5e-5,
    warmupSteps: 8,
  },
  evaluation: { ...publishedPanels.blackjack!, selectionEpisodes: 1000 },
};

/** The supervised start of `blackjack`, from fresh weights: the expert counts correctly and errs in every second decision. */
const blackjackSft: RunConfigInput = {
  algorithm: "sft",
  task: "blackjack",
  model: { checkpoint: "tiny-vlm-blackjack", weights: "fresh" },
  precision: "bf16",
  sft: { steps: 2500, errorRate: 0.5, maxRandomSteps: 2 },
  evaluation: { episodes: 50 },
};

/** Goes on from the run of `blackjack-sft` with other demonstrations: points are then read in nearly all hands. */
const blackjackSftRefine: RunConfigInput = {
  ...blackjackSft,
  model: { checkpoint: "runs/blackjack-start/checkpoints/best" },
  seed: 2,
  sft: { ...blackjackSft.sft, steps: 3000 },
  evaluation: { episodes: 200 },
};

export const cardGamePresets: Readonly<Record<string, () => RunConfigInput>> = {
  "ez-points": () => ezPoints,
  points24: () => points24,
  blackjack: () => blackjack,
  "ez-points-sft": () => ezPointsSft,
  "points24-sft": () => points24Sft,
  "points24-sft-errors": () => points24SftErrors,
  "blackjack-sft": () => blackjackSft,
  "blackjack-sft-refine": () => blackjackSftRefine,
};
