import type { ForwardResult, Sequence } from "../native/types.js";
import type { Policy } from "../policy/policy.js";
import type { Random } from "../random.js";
import { normalizeAdvantages } from "../rl/advantages.js";
import { generalizedAdvantages } from "../rl/gae.js";
import { actionStart, tokenWeights, weightedLogProb } from "../rl/thought-weights.js";
import type { Rollout } from "../rollout/trajectory.js";

/** A transition as an update sees it. */
export interface Sample {
  readonly sequence: Sequence;
  /** (T) log-prob of each response token at the time of sampling. */
  readonly sampledLogProbs: Float32Array;
  /** Index of the first token of the action part; undefined where the response has none. */
  readonly firstActionToken: number | undefined;
  /** (T) λ on thought tokens, 1 on action tokens. */
  readonly weights: Float64Array;
  /** log π_old = sum_t w_t log p_t. */
  readonly oldLogProb: number;
  readonly oldValue: number;
  /** Normalized over the rollout. */
  readonly advantage: number;
  /** R = A + V with the advantage before normalization: the target of the value. */
  readonly return: number;
}

export interface SampleSettings {
  readonly gamma: number;
  readonly gaeLambda: number;
  /** λ, the weight of thought tokens. */
  readonly lambda: number;
  readonly advantageStdFloor: number;
}

/** The transitions of a rollout with all that its epochs share, in order of environment, then time. */
export function toSamples(
  rollout: Rollout,
  policy: Pick<Policy, "tokenAtCharacter">,
  settings: SampleSettings,
): Sample[] {
  const samples = rollout.trajectories.flatMap(({ transitions }) => {
    const steps = transitions.map((transition) => ({ ...transition, value: transition.response.value }));
    const { advantages, returns } = generalizedAdvantages(steps, settings.gamma, settings.gaeLambda);
    return transitions.map(({ prompt, response }, t): Sample => {
      const { tokens, text, logProbs, value } = response;
      const start = actionStart(text);
      const firstActionToken = start === undefined ? undefined : policy.tokenAtCharacter(tokens, start);
      const weights = tokenWeights(tokens.length, firstActionToken, settings.lambda);
      return {
        sequence: { prompt, response: tokens },
        sampledLogProbs: logProbs,
        firstActionToken,
        weights,
        oldLogProb: weightedLogProb(logProbs, weights),
        oldValue: value,
        advantage: advantages[t]!,
        return: returns[t]!,
      };
    });
  });
  const advantages = Float64Array.from(samples, ({ advantage }) => advantage);
  const normalized = normalizeAdvantages(advantages, settings.advantageStdFloor);
  return samples.map((sample, i) => ({ ...sample, advantage: normalized[i]! }));
}

/**
 * The samples in random order, in as few minibatches as `size` allows. Their sizes differ by one at most, so
 * that no optimizer step rests on a small remainder.
 */
export function shuffledMinibatches(samples: readonly Sample[], size: number, random: Random): Sample[][] {
  const shuffled = [...samples];
  random.shuffle(shuffled);
  const count = Math.ceil(samples.length / size);
  const start = (index: number): number => Math.floor((index * samples.length) / count);
  return Array.from({ length: count }, (_, index) => shuffled.slice(start(index), start(index + 1)));
}

/** Largest absolute difference between the sampled and the scored log-prob of a token, over a minibatch. */
export function logProbMismatch(minibatch: readonly Sample[], { logProbs, offsets }: ForwardResult): number {
  let largest = 0;
  minibatch.forEach(({ sampledLogProbs }, b) => {
    sampledLogProbs.forEach((sampled, t) => {
      largest = Math.max(largest, Math.abs(logProbs[offsets[b]! + t]! - sampled));
    });
  });
  return largest;
}
