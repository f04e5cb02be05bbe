import type { ForwardResult, RandomKey, Sequence } from "../native/types.js";
import type { Policy } from "../policy/policy.js";
import type { Random } from "../random.js";
import { normalizeAdvantages } from "../rl/advantages.js";
import { generalizedAdvantages } from "../rl/gae.js";
import type { Rollout, Trajectory, Transition } from "../rollout/trajectory.js";
import type { ScoredTokens, Scoring } from "./scoring.js";

/** A transition as an update sees it. */
export interface Sample extends ScoredTokens {
  readonly sequence: Sequence;
  /** (T) log-prob of each scored token before the update: of sampling, or of the scoring pass where scoring has its own context. */
  readonly oldLogProbs: Float32Array;
  /** Whether the update scores it after the same tokens as before: the first forward must then give `oldLogProbs` again. */
  readonly keepsContext: boolean;
  /** log π_old. */
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
  readonly advantageStdFloor: number;
  readonly advantageEpsilon: number;
  /** Of sampling, and of the scoring pass. */
  readonly temperature: number;
  /** Most sequences of a forward pass, >= 1. */
  readonly batchSize: number;
  /** Of a forward pass before the update, by its index. */
  readonly dropoutKey: (batch: number) => RandomKey;
  /** A truncated episode has no next value, like a terminated one. */
  readonly terminalTimeouts: boolean;
}

/** The transitions of a rollout with all that its epochs share, in order of environment, then time. */
export async function toSamples(
  rollout: Rollout,
  policy: Pick<Policy, "score">,
  scoring: Scoring,
  settings: SampleSettings,
): Promise<Sample[]> {
  const transitions = rollout.trajectories.flatMap((trajectory) => trajectory.transitions);
  const scored = transitions.map(({ response }) => scoring.scored(response));
  const oldLogProbs = scoring.hasOwnContext
    ? await scoreAll(
        transitions.map(({ prompt }, i) => ({ prompt, response: scored[i]!.tokens })),
        policy,
        settings,
      )
    : transitions.map(({ response }) => response.logProbs);
  const estimates = rollout.trajectories.flatMap((trajectory) => estimate(trajectory, settings));
  const advantages = Float64Array.from(estimates, ({ advantage }) => advantage);
  const normalized = normalizeAdvantages(advantages, settings.advantageStdFloor, settings.advantageEpsilon);
  return transitions.map(({ prompt, scoredPrompt, response }, i): Sample => {
    const tokens = scored[i]!;
    return {
      ...tokens,
      sequence: { prompt: scoredPrompt, response: tokens.tokens },
      oldLogProbs: oldLogProbs[i]!,
      keepsContext: scoredPrompt === prompt,
      oldLogProb: scoring.logProb(oldLogProbs[i]!, tokens),
      oldValue: response.value,
      advantage: normalized[i]!,
      return: estimates[i]!.return,
    };
  });
}

/** A_t before normalization and R_t of every step. */
function estimate(
  { transitions }: Trajectory,
  { gamma, gaeLambda, terminalTimeouts }: SampleSettings,
): { advantage: number; return: number }[] {
  const isTerminal = ({ terminated, truncated }: Transition) => terminated || (terminalTimeouts && truncated);
  const steps = transitions.map((transition) => ({
    ...transition,
    value: transition.response.value,
    terminated: isTerminal(transition),
  }));
  const { advantages, returns } = generalizedAdvantages(steps, gamma, gaeLambda);
  return transitions.map((_, t) => ({ advantage: advantages[t]!, return: returns[t]! }));
}

/** (T) log-probs of each response under the weights as they are. */
async function scoreAll(
  sequences: readonly Sequence[],
  policy: Pick<Policy, "score">,
  { temperature, batchSize, dropoutKey }: SampleSettings,
): Promise<Float32Array[]> {
  const all: Float32Array[] = [];
  for (const [index, batch] of inParts(sequences, batchSize).entries()) {
    const { logProbs, offsets } = await policy.score(batch, {
      temperature,
      keepTape: false,
      dropoutKey: dropoutKey(index),
    });
    all.push(...batch.map((_, b) => logProbs.slice(offsets[b], offsets[b + 1])));
  }
  return all;
}

/** Consecutive parts of at most `size` items. */
export function inParts<T>(items: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let start = 0; start < items.length; start += size) parts.push(items.slice(start, start + size));
  return parts;
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

/**
 * Largest absolute difference between the old and the scored log-prob of a token, over the samples that are scored in the
 * context of their old log-probs; undefined where there is none.
 */
export function logProbMismatch(
  minibatch: readonly Pick<Sample, "oldLogProbs" | "keepsContext">[],
  { logProbs, offsets }: ForwardResult,
): number | undefined {
  let largest: number | undefined;
  minibatch.forEach(({ oldLogProbs, keepsContext }, b) => {
    if (!keepsContext) return;
    oldLogProbs.forEach((old, t) => {
      largest = Math.max(largest ?? 0, Math.abs(logProbs[offsets[b]! + t]! - old));
    });
  });
  return largest;
}
