import type { SurrogateLoss, ValueLoss } from "../rl/ppo-objective.js";
import { explainedVariance, Mean } from "../rl/statistics.js";
import { rolloutMetrics } from "../rollout/rollout-metrics.js";
import { windowMetrics } from "../rollout/trailing-window.js";
import type { Sample } from "./samples.js";

/** What each metric means. A key is absent from an update where nothing defines its value. */
export const ppoMetrics = {
  ...rolloutMetrics,
  ...windowMetrics,
  "rollout/log_prob_mismatch_max":
    "Largest difference between sampled and scored log-probs before the update. Where the update has a scoring context of its " +
    "own: between that pass and the first forward, over samples that both score under the same prompt.",
  "ppo/policy_loss": "Mean clipped surrogate loss over all samples and epochs.",
  "ppo/value_loss": "Mean value loss over all samples and epochs, before its coefficient.",
  "ppo/entropy": "Mean entropy of a token's distribution, in nats; only with an entropy bonus.",
  "ppo/kl": "Mean k3 estimate of the divergence from the sampling policy, of λ-weighted log-probs, in nats.",
  "ppo/clip_fraction": "Share of samples whose policy gradient a bound on the ratio made zero.",
  "ppo/ratio_max": "Largest ratio of new to old probability in any epoch.",
  "ppo/gradient_norm": "Mean norm of the policy's gradient before clipping.",
  "ppo/value_gradient_norm": "Mean norm of the value head's gradient before clipping.",
  "ppo/learning_rate": "Learning rate of the policy.",
  "ppo/explained_variance": "Share of the returns' variance that the sampled values account for.",
  "ppo/log_prob_thought_mean":
    "Mean log-prob of the thought part of responses that have an action part, unweighted.",
  "ppo/log_prob_action_mean": "Mean log-prob of their action part.",
} as const;

export type PpoMetric = keyof typeof ppoMetrics;

/** What one sample adds to its minibatch's loss. */
export interface SampleLoss {
  readonly newLogProb: number;
  readonly policy: SurrogateLoss;
  readonly value: ValueLoss;
  readonly kl: number;
  /** Mean over the response's tokens, in nats; undefined without an entropy bonus. */
  readonly entropy: number | undefined;
}

/** Gathers the metrics of an update over its minibatches and epochs. */
export class UpdateStatistics {
  readonly #policyLoss = new Mean();
  readonly #valueLoss = new Mean();
  readonly #entropy = new Mean();
  readonly #kl = new Mean();
  readonly #clipped = new Mean();
  readonly #gradientNorm = new Mean();
  readonly #valueGradientNorm = new Mean();
  #ratioMax = 0;

  add(terms: readonly SampleLoss[], gradientNorm: number, valueGradientNorm: number): void {
    for (const { policy, value, kl, entropy } of terms) {
      this.#policyLoss.add(policy.loss);
      this.#valueLoss.add(value.loss);
      this.#kl.add(kl);
      this.#clipped.add(Number(policy.clipped));
      this.#ratioMax = Math.max(this.#ratioMax, policy.ratio);
      if (entropy !== undefined) this.#entropy.add(entropy);
    }
    this.#gradientNorm.add(gradientNorm);
    this.#valueGradientNorm.add(valueGradientNorm);
  }

  metrics() {
    return {
      "ppo/policy_loss": this.#policyLoss.value,
      "ppo/value_loss": this.#valueLoss.value,
      "ppo/entropy": this.#entropy.value,
      "ppo/kl": this.#kl.value,
      "ppo/clip_fraction": this.#clipped.value,
      "ppo/ratio_max": this.#ratioMax,
      "ppo/gradient_norm": this.#gradientNorm.value,
      "ppo/value_gradient_norm": this.#valueGradientNorm.value,
    };
  }
}

/** The metrics of an update that its samples define, before any epoch. */
export function describeSamples(samples: readonly Sample[]) {
  const thought = new Mean();
  const action = new Mean();
  for (const { oldLogProbs, parts, hasAction } of samples) {
    if (!hasAction) continue;
    thought.add(sum(oldLogProbs.subarray(parts.thought.start, parts.thought.end)));
    action.add(sum(oldLogProbs.subarray(parts.action.start, parts.action.end)));
  }
  const values = Float64Array.from(samples, ({ oldValue }) => oldValue);
  const returns = Float64Array.from(samples, (sample) => sample.return);
  return {
    "ppo/explained_variance": explainedVariance(values, returns),
    "ppo/log_prob_thought_mean": thought.value,
    "ppo/log_prob_action_mean": action.value,
  };
}

function sum(numbers: Float32Array): number {
  return numbers.reduce((total, value) => total + value, 0);
}
