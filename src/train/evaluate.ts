/** Evaluation: a fixed panel of seeded episodes, played by a policy or by a reference player. */
import type { Environment, Frame } from "../../envs/env.js";
import { deriveKey, Random, stream } from "../random.js";
import type { Player } from "./players.js";
import { wilsonInterval } from "./wilson-interval.js";

/** What a panel of episodes measured. Rates are over the panel's episodes or over all their decisions. */
export interface Score {
  readonly episodes: number;
  /** Share of episodes that the environment counts as solved. */
  readonly successRate: number;
  /** 95 % Wilson interval of `successRate`. */
  readonly successInterval: readonly [number, number];
  /** Mean undiscounted return. */
  readonly returnMean: number;
  /** Half-width of the 95 % interval of `returnMean` (normal approximation). */
  readonly returnMargin: number;
  /** Mean number of decisions per episode. */
  readonly stepsMean: number;
  /** Share of decisions that are optimal; null where the environment cannot tell. */
  readonly actionAccuracy: number | null;
  /** Share of responses that state what the image shows; null where nobody writes or can tell. */
  readonly readingAccuracy: number | null;
  /** Share of responses that name no action. */
  readonly illegalRate: number;
}

export interface TranscriptStep {
  readonly frame: Frame;
  readonly prompt: string;
  /** Null for players without words. */
  readonly text: string | null;
  /** Label of the action that was played. */
  readonly action: string;
  /** False where the response named no action and one was drawn uniformly. */
  readonly legal: boolean;
  readonly reward: number;
}

/** One episode, to be looked at. */
export interface Transcript {
  /** Index in the panel. */
  readonly episode: number;
  /** What the environment was reset with. */
  readonly seed: number;
  readonly success: boolean;
  readonly return: number;
  readonly steps: readonly TranscriptStep[];
  /** What was seen after the last action. */
  readonly finalFrame: Frame;
}

export interface Evaluation {
  readonly score: Score;
  /** The first episodes of the panel, as many as were asked for. */
  readonly transcripts: readonly Transcript[];
}

export interface EvaluateOptions<Info = unknown> {
  readonly player: Player<Info>;
  readonly makeEnvironment: () => Environment<Info>;
  /** Size of the panel, >= 1. */
  readonly episodes: number;
  /** Unsigned 32-bit integer that fixes the panel. Its numbers never meet those of training. */
  readonly seed: number;
  /** Episodes played at the same time, >= 1; default 32. The result does not depend on it. */
  readonly concurrency?: number;
  /** Number of episodes to keep as transcripts; default 0. */
  readonly transcripts?: number;
  readonly signal?: AbortSignal;
}

interface PlayedEpisode {
  readonly success: boolean;
  readonly return: number;
  readonly steps: number;
  /** Count of decisions that are optimal, null where the environment cannot tell. */
  readonly optimal: number | null;
  /** Count of responses that read the state, null where nobody can tell. */
  readonly read: number | null;
  readonly illegal: number;
  readonly transcript: Transcript | undefined;
}

/**
 * Plays the panel and scores it. Episode e starts from the first word of
 * `deriveKey(seed, stream.evaluation, stream.episode, e)`; a player's randomness at step t comes from
 * `deriveKey(seed, stream.evaluation, purpose, e, t)`. Where a response names no action, one is drawn
 * uniformly, as in training (equation 4.1 of the paper).
 *
 * @throws RangeError for a panel or a concurrency below 1; what the player or an environment throws; the
 *   signal's reason when aborted
 */
export async function evaluate<Info>(options: EvaluateOptions<Info>): Promise<Evaluation> {
  const { episodes, concurrency = 32 } = options;
  requirePositiveInteger("episodes", episodes);
  requirePositiveInteger("concurrency", concurrency);
  const played: PlayedEpisode[] = new Array(episodes);
  let next = 0;
  let failed = false;
  const playMany = async (): Promise<void> => {
    const environment = options.makeEnvironment();
    try {
      while (next < episodes && !failed) {
        const episode = next++;
        played[episode] = await playEpisode(environment, episode, options);
      }
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      environment.close?.();
    }
  };
  // All workers end before the first failure is reported, so that none plays on behind the caller's back.
  const workers = await Promise.allSettled(Array.from({ length: Math.min(concurrency, episodes) }, playMany));
  for (const worker of workers) if (worker.status === "rejected") throw worker.reason;
  return {
    score: scoreOf(played),
    transcripts: played.flatMap(({ transcript }) => (transcript === undefined ? [] : [transcript])),
  };
}

async function playEpisode<Info>(
  environment: Environment<Info>,
  episode: number,
  { player, seed, transcripts = 0, signal }: EvaluateOptions<Info>,
): Promise<PlayedEpisode> {
  const [episodeSeed] = deriveKey(seed, stream.evaluation, stream.episode, episode);
  const labels = environment.actionSpace.labels;
  const steps: TranscriptStep[] = [];
  const count = { steps: 0, illegal: 0, optimal: 0, read: 0 };
  let canJudgeAction = environment.optimalActions !== undefined;
  let canJudgeReading = environment.readsState !== undefined;
  let episodeReturn = 0;
  let { frame, info } = await environment.reset(episodeSeed);
  for (;;) {
    signal?.throwIfAborted();
    const step = count.steps++;
    const randomKey = (purpose: number) => deriveKey(seed, stream.evaluation, purpose, episode, step);
    const prompt = environment.prompt(info);
    const decision = await player({ environment, frame, info, prompt, randomKey }, signal);
    const action =
      decision.action ?? new Random(randomKey(stream.fallbackAction)).integer(environment.actionSpace.labels.length);
    if (decision.action === undefined) count.illegal += 1;
    if (environment.optimalActions?.(info).includes(action)) count.optimal += 1;
    if (decision.text === undefined) canJudgeReading = false;
    else if (environment.readsState?.(decision.text, info)) count.read += 1;
    const result = await environment.step(action);
    episodeReturn += result.reward;
    if (episode < transcripts) {
      steps.push({
        frame,
        prompt,
        text: decision.text ?? null,
        action: labels[action]!,
        legal: decision.action !== undefined,
        reward: result.reward,
      });
    }
    ({ frame, info } = result);
    if (!result.terminated && !result.truncated) continue;
    const outcome = {
      return: episodeReturn,
      steps: count.steps,
      terminated: result.terminated,
      lastInfo: info,
    };
    const success = environment.isSuccess(outcome);
    return {
      success,
      return: episodeReturn,
      steps: count.steps,
      optimal: canJudgeAction ? count.optimal : null,
      read: canJudgeReading ? count.read : null,
      illegal: count.illegal,
      transcript:
        episode < transcripts
          ? { episode, seed: episodeSeed, success, return: episodeReturn, steps, finalFrame: frame }
          : undefined,
    };
  }
}

function scoreOf(played: readonly PlayedEpisode[]): Score {
  const sum = (of: (episode: PlayedEpisode) => number): number =>
    played.reduce((total, episode) => total + of(episode), 0);
  const episodes = played.length;
  const decisions = sum(({ steps }) => steps);
  const successes = sum(({ success }) => (success ? 1 : 0));
  const returnMean = sum((episode) => episode.return) / episodes;
  const squares = sum((episode) => (episode.return - returnMean) ** 2);
  const standardError = episodes > 1 ? Math.sqrt(squares / (episodes - 1) / episodes) : 0;
  const share = (of: (episode: PlayedEpisode) => number | null): number | null =>
    played.some((episode) => of(episode) === null) ? null : sum((episode) => of(episode)!) / decisions;
  return {
    episodes,
    successRate: successes / episodes,
    successInterval: wilsonInterval(successes, episodes),
    returnMean,
    returnMargin: 1.96 * standardError,
    stepsMean: decisions / episodes,
    actionAccuracy: share(({ optimal }) => optimal),
    readingAccuracy: share(({ read }) => read),
    illegalRate: sum(({ illegal }) => illegal) / decisions,
  };
}

function requirePositiveInteger(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new RangeError(`${name}: expected an integer >= 1, received ${value}`);
  }
}
