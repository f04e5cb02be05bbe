/** Complete configurations by name. A preset states what differs from the schema's defaults. */
import { type PpoRunConfig, parseConfig, type RunConfigInput, type SftRunConfig } from "./config.js";

/**
 * PPO on NumberLine from the checkpoint that ships: a model that reads both numbers and decides no better
 * than chance. The KL penalty keeps it reading while it learns to decide; dual clip and the floor on the
 * advantages' deviation keep it from collapsing once nearly every episode succeeds and advantages are noise.
 */
export function numberLine(): PpoRunConfig {
  const config: RunConfigInput = {
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
  return parseConfig(config, "preset number-line") as PpoRunConfig;
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
 * The paper's scale: LLaVA-1.6-Mistral-7B with adapters, 512 decisions per GPU and update, optimizer steps over 128 of
 * them, 4 epochs, λ 0.5 (Zhai et al. 2024, appendix; their scripts). What differs: 32 environments per GPU instead of one,
 * four decisions per forward pass instead of one, and log-probs may differ by
 * rounding between sampling and update.
 */
export function numberLineLlava(): PpoRunConfig {
  const config: RunConfigInput = {
    algorithm: "ppo",
    task: "number-line",
    model: {
      checkpoint: "llava-v1.6-mistral-7b",
      frozen: ["vision"],
      lora: { components: ["projector", "decoder"], rank: 128, alpha: 256 },
    },
    device: "cuda",
    precision: "bf16",
    environments: 32,
    ppo: {
      updates: 29,
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
      adamEpsilon: 1e-7,
      // A GPU sums products of other sizes in other orders.
      maxLogProbMismatch: 0.1,
    },
  };
  return parseConfig(config, "preset number-line-llava-1.6-mistral-7b") as PpoRunConfig;
}

/** The presets that the command line knows, by name. */
export const presets: Readonly<Record<string, () => PpoRunConfig | SftRunConfig>> = {
  "number-line": numberLine,
  "number-line-llava-1.6-mistral-7b": numberLineLlava,
  "number-line-sft": numberLineSft,
  "number-line-sft-refine": numberLineSftRefine,
};
