/**
 * The runs of Zhai et al. 2024 (arXiv 2405.10292) on gym_cards: LLaVA-1.6-Mistral-7B with adapters, in paper mode, with the
 * hyper-parameters of the paper's appendix and scripts. All counts are per GPU; the paper used four.
 *
 * What differs: 32 environments on each GPU, where the reference plays one, with as many decisions in all; four decisions in a
 * forward pass instead of one, which changes rounding alone; and therefore log-probs that may differ by rounding between two
 * forward passes. `environments=1 ppo.stepsPerEnvironment=512` (or 1024) plays as the reference does.
 */
import type { RunConfigInput } from "./config.js";
import { publishedPanels } from "./published-panels.js";

const ENVIRONMENTS = 32;

interface PaperTask {
  readonly task: string;
  /** Decisions per GPU and update. */
  readonly decisions: number;
  /** Finished episodes behind a point of the paper's curves. */
  readonly successWindow: number;
}

/** Decisions per GPU in the whole run. */
const RUN_DECISIONS = 15_000;

const paperTasks: readonly PaperTask[] = [
  { task: "number-line", decisions: 512, successWindow: 200 },
  { task: "ez-points", decisions: 1024, successWindow: 200 },
  { task: "points24", decisions: 1024, successWindow: 200 },
  { task: "blackjack", decisions: 512, successWindow: 1000 },
];

function paperScale({ task, decisions, successWindow }: PaperTask): RunConfigInput {
  const updates = Math.floor(RUN_DECISIONS / decisions);
  return {
    algorithm: "ppo",
    mode: "paper",
    task,
    model: {
      checkpoint: "llava-v1.6-mistral-7b",
      images: { singleCrop: true },
      lora: { components: ["projector", "decoder"], rank: 128, alpha: 256 },
    },
    device: "cuda",
    precision: "bf16",
    environments: ENVIRONMENTS,
    ppo: {
      updates,
      stepsPerEnvironment: decisions / ENVIRONMENTS,
      minibatchSize: 128,
      microbatchSize: 4,
      clipRange: 0.1,
      gamma: 0.9,
      gaeLambda: 0.95,
      lambda: 0.5,
      learningRate: 1e-5,
      finalLearningRate: 1e-9,
      valueLearningRate: 1e-5,
      valueLossCoefficient: 0.5,
      temperature: 0.2,
      maxNewTokens: 256,
      successWindow,
    },
    quirks: { learningRateCycle: { stepsPerUpdate: 4 } },
    evaluation: publishedPanels[task]!,
    // The paper's runs play all their updates.
    stop: { successRate: 1, patience: updates },
  };
}

export const paperScalePresets: Readonly<Record<string, () => RunConfigInput>> = Object.fromEntries(
  paperTasks.map((task) => [`${task.task}-llava-1.6-mistral-7b`, () => paperScale(task)]),
);
