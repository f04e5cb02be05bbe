/**
 * Supervised fine-tuning: the policy imitates an expert's responses, thought and action, before reinforcement
 * learning begins (Zhai et al. 2024, arXiv 2405.10292, section 5 and appendix C.1). The loss is the mean
 * cross-entropy of the response's tokens, the end token included, at temperature 1.
 *
 * Differs from the paper in: demonstrations can be made on the fly (`ExpertDemonstrations`) instead of read from a data
 * set, so that nothing repeats; and the expert may err at a set rate, so that the start of reinforcement learning can
 * be placed anywhere between chance and mastery.
 *
 * Deliberately not here: training of the value head (demonstrations say nothing about returns).
 */
import type { Policy } from "../policy/policy.js";
import { deriveKey, stream } from "../random.js";
import { cosineSchedule } from "../rl/schedule.js";
import { requireFinite } from "./algorithm-error.js";
import * as check from "./config-check.js";
import type { DemonstrationSource } from "./demonstrations.js";

export interface SftConfig {
  /** Optimizer steps of the whole run, >= 1. The learning rate reaches its final value in the last one. */
  steps: number;
  /** Demonstrations per optimizer step, >= 1. */
  batchSize: number;
  /** Learning rate after the warm-up, > 0. */
  learningRate: number;
  /** Steps over which the learning rate rises linearly, >= 0; then half a cosine. */
  warmupSteps: number;
  /** Learning rate of the last step as a fraction of `learningRate`, in [0, 1]. */
  finalLearningRateFraction: number;
  /** Largest gradient norm, > 0. */
  maxGradientNorm: number;
  /** Decoupled weight decay, >= 0. */
  weightDecay: number;
  /** Decay of Adam's first and second moment, each in [0, 1). */
  adamBetas: [number, number];
  /** Added to the root of Adam's second moment, > 0. */
  adamEpsilon: number;
}

/** Where a run stands between two steps, as plain JSON. With the policy's checkpoint it continues bit for bit. */
export interface SftState {
  /** Optimizer steps taken so far. */
  step: number;
}

export interface SftUpdate {
  /** Counts from 1. */
  step: number;
  /** Keys are those of `sftMetrics`. */
  metrics: Record<string, number>;
  /** To continue after this step. */
  state: SftState;
}

export interface SftOptions {
  policy: Policy;
  /** With `config`, `seed` and the initial weights it fixes the run. */
  demonstrations: DemonstrationSource;
  config: SftConfig;
  /** Unsigned 32-bit integer, which keys what adapters drop. */
  seed: number;
  /** State to continue from; the policy must hold the weights and optimizer state saved with it. */
  resume?: SftState | undefined;
  /** Stops between two steps. */
  signal?: AbortSignal | undefined;
}

/** What each metric means. */
export const sftMetrics = {
  "sft/loss": "Mean cross-entropy per response token over the step's demonstrations, in nats.",
  "sft/learning_rate": "Learning rate of the step.",
  "sft/gradient_norm": "Norm of the gradient before clipping.",
  "sft/tokens": "Number of response tokens in the step's demonstrations.",
} as const;

/** Trains the policy in place, one yield per optimizer step. @throws AlgorithmError, the signal's reason */
export async function* sft(options: SftOptions): AsyncGenerator<SftUpdate, void> {
  const { policy, demonstrations, config, seed, resume, signal } = options;
  check.checkConfig("sft", config, ranges);
  const schedule = {
    initial: config.learningRate,
    final: config.learningRate * config.finalLearningRateFraction,
    warmupSteps: config.warmupSteps,
  };

  for (let step = (resume?.step ?? 0) + 1; step <= config.steps; step++) {
    signal?.throwIfAborted();
    const batch = await demonstrations.batch(step, config.batchSize);
    const scores = await policy.score(
      batch.map(({ frame, prompt, response }) => ({
        prompt: policy.encode(frame, prompt),
        response: policy.encodeResponse(response),
      })),
      { dropoutKey: deriveKey(seed, stream.dropout, step) },
    );
    // L = -(1 / N) sum_t log p_t over the N response tokens of the batch.
    const tokens = scores.logProbs.length;
    const loss = scores.logProbs.reduce((sum, logProb) => sum - logProb, 0) / tokens;
    requireFinite({ loss }, `step ${step}`);
    await policy.backward(scores, { logProbs: new Float32Array(tokens).fill(-1 / tokens) });

    const learningRate = cosineSchedule(step - 1, config.steps, schedule);
    const { gradientNorms } = await policy.step({
      groups: [
        {
          components: ["vision", "projector", "decoder"],
          learningRate,
          maxGradientNorm: config.maxGradientNorm,
          weightDecay: config.weightDecay,
        },
      ],
      betas: config.adamBetas,
      epsilon: config.adamEpsilon,
    });
    const [gradientNorm] = gradientNorms as [number];
    requireFinite({ "gradient norm": gradientNorm }, `step ${step}`);

    const metrics: Record<keyof typeof sftMetrics, number> = {
      "sft/loss": loss,
      "sft/learning_rate": learningRate,
      "sft/gradient_norm": gradientNorm,
      "sft/tokens": tokens,
    };
    yield { step, metrics, state: { step } };
  }
}

const ranges: Record<keyof SftConfig, check.Range> = {
  steps: check.positiveInteger,
  batchSize: check.positiveInteger,
  learningRate: check.positive,
  warmupSteps: check.nonNegativeInteger,
  finalLearningRateFraction: check.fraction,
  maxGradientNorm: check.positive,
  weightDecay: check.nonNegative,
  adamBetas: check.adamBetaPair,
  adamEpsilon: check.positive,
};
