/** The held-out panels of a run: the policy, sampled and greedy, and the references it is held against. */
import type { Environment, Expert } from "../../envs/env.js";
import type { SamplingSettings } from "../native/types.js";
import type { Policy } from "../policy/policy.js";
import { type Evaluation, evaluate, type Score } from "./evaluate.js";
import { expertPlayer, optimalPlayer, type Player, policyPlayer, randomPlayer } from "./players.js";

/** One fixed panel of held-out episodes. */
export interface Panel<Info = unknown> {
  readonly makeEnvironment: () => Environment<Info>;
  /** Number of episodes, >= 1. */
  readonly episodes: number;
  /** Unsigned 32-bit integer that fixes them. */
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
}

/** How the policy answers: sampled as in training, and greedily with the same limit on length. */
export interface Answering {
  /** Of the sampled panel. */
  readonly sampling: SamplingSettings;
  /** Longest response, in tokens, >= 1. */
  readonly maxNewTokens: number;
}

export interface PolicyScores {
  readonly sampled: Score;
  readonly greedy: Score;
}

export interface ReferenceScores {
  /** Every action with the same probability. */
  readonly random: Score;
  /** The expert that demonstrates the task, without errors; null where there is none. */
  readonly expert: Score | null;
  /** Optimal actions; null where the environment cannot tell them. */
  readonly optimal: Score | null;
}

/**
 * The policy on the panel, sampled.
 *
 * @param transcripts episodes to keep, >= 0
 */
export function evaluateSampled<Info>(
  policy: Policy,
  panel: Panel<Info>,
  { sampling, maxNewTokens }: Answering,
  transcripts = 0,
): Promise<Evaluation> {
  return evaluate({ ...panel, player: policyPlayer(policy, { sampling, maxNewTokens }), transcripts });
}

/** The policy on the panel, always with the most likely token. */
export async function evaluateGreedy<Info>(
  policy: Policy,
  panel: Panel<Info>,
  { maxNewTokens }: Pick<Answering, "maxNewTokens">,
): Promise<Score> {
  const player = policyPlayer<Info>(policy, { sampling: { temperature: 0 }, maxNewTokens });
  return (await evaluate({ ...panel, player })).score;
}

/** Random play, an expert's where there is one, and optimal play on the panel. */
export async function evaluateReferences<Info>(
  panel: Panel<Info>,
  expert?: Expert<Info>,
): Promise<ReferenceScores> {
  const environment = panel.makeEnvironment();
  const isSolvable = environment.optimalActions !== undefined;
  environment.close?.();
  const scoreOf = async (player: Player<Info>): Promise<Score> =>
    (await evaluate({ ...panel, player })).score;
  return {
    random: await scoreOf(randomPlayer()),
    expert: expert === undefined ? null : await scoreOf(expertPlayer(expert)),
    optimal: isSolvable ? await scoreOf(optimalPlayer()) : null,
  };
}
