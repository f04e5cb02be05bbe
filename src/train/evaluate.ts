/** Evaluation: a fixed panel of seeded episodes, played by a policy or by a reference player. */
import type { Environment, Frame, ResetResult } from "../../envs/env.js";
import { deriveKey, Random, stream } from "../random.js";
import { meanInterval } from "./mean-interval.js";
import type { Observation, Player } from "./players.js";
import { wilsonInterval } from "./wilson-interval.js";

/**
 * Shares of a panel's decisions that went wrong, each decision counted under the first fault that it has. The rest were read,
 * as far as that can be told, and decided well.
 */
export interface DecisionFaults {
  /** The response names no action. */
  readonly unreadable: number;
  /** The rules do not allow the action. */
  readonly illegal: number;
  /** The response does not state what the image shows; null where nobody writes or can tell. */
  readonly misread: number | null;
  /** The action is not optimal; null where the environment cannot tell. */
  readonly wrong: number | null;
}

/** What a panel of episodes measured. Rates are over the panel's episodes or over all their decisions. */
export interface Score {
  readonly episodes: number;
  /** Share of episodes that the environment counts as solved. */
  readonly successRate: number;
  /** 95 % Wilson interval of `successRate`. */
  readonly successInterval: readonly [number, number];
  /** Mean undiscounted return. */
  readonly returnMean: number;
  /** 95 % Student interval of `returnMean`. */
  readonly returnInterval: readonly [number, number];
  /** Mean number of decisions per episode. */
  readonly stepsMean: number;
  /** Share of decisions that are optimal; null where the environment cannot tell. */
  readonly actionAccuracy: number | null;
  /** Share of responses that state what the image shows; null where nobody writes or can tell. */
  readonly readingAccuracy: number | null;
  readonly faults: DecisionFaults;
  /**
   * Share of the episodes that failed in each way that occurred, the most frequent first; together 1 - `successRate`. Null where
   * the environment cannot tell.
   */
  readonly failures: Readonly<Record<string, number>> | null;
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
  /** Episodes played at the same time, >= 1; default 64. The result does not depend on it. */
  readonly concurrency?: number;
  /** Number of episodes to keep as transcripts; default 0. */
  readonly transcripts?: number;
  readonly signal?: AbortSignal | undefined;
}

/** One episode as it was played. */
interface PlayedEpisode {
  readonly success: boolean;
  /** Undefined for one that succeeded, and where the environment cannot tell. */
  readonly failure: string | undefined;
  readonly return: number;
  readonly decisions: readonly Judged[];
  readonly transcript: Transcript | undefined;
}

/** What the environment says of one decision; undefined where it cannot tell. */
interface Judged {
  /** Whether the response names an action. */
  readonly named: boolean;
  readonly legal: boolean;
  readonly optimal: boolean | undefined;
  readonly readsState: boolean | undefined;
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
  const { episodes, concurrency = 64 } = options;
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
  const workers = Array.from({ length: Math.min(concurrency, episodes) }, playMany);
  // All workers end before a failure is reported, so that none plays on behind the caller's back.
  await Promise.allSettled(workers);
  await Promise.all(workers).catch((error: unknown) => {
    options.signal?.throwIfAborted();
    throw error;
  });
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
  const { labels } = environment.actionSpace;
  const isKept = episode < transcripts;
  const decisions: Judged[] = [];
  const steps: TranscriptStep[] = [];
  let episodeReturn = 0;
  let state: ResetResult<Info> = await environment.reset(episodeSeed);
  for (;;) {
    signal?.throwIfAborted();
    const step = decisions.length;
    const randomKey = (purpose: number) => deriveKey(seed, stream.evaluation, purpose, episode, step);
    const seen = state;
    const { info } = seen;
    const prompt = environment.prompt(info);
    // Frames are drawn when they are read, and most reference players never look.
    const observation: Observation<Info> = {
      environment,
      get frame() {
        return seen.frame;
      },
      info,
      prompt,
      randomKey,
    };
    const { action: named, text } = await player(observation, signal);
    const action = named ?? new Random(randomKey(stream.fallbackAction)).integer(labels.length);
    const isNamed = named !== undefined;
    decisions.push({
      named: isNamed,
      legal: environment.isLegal?.(action, info) ?? true,
      optimal: environment.optimalActions?.(info).includes(action),
      readsState: text === undefined ? undefined : environment.readsState?.(text, info),
    });
    const next = await environment.step(action);
    const { reward, terminated, truncated } = next;
    episodeReturn += reward;
    if (isKept) {
      const label = labels[action]!;
      steps.push({ frame: seen.frame, prompt, text: text ?? null, action: label, legal: isNamed, reward });
    }
    state = next;
    if (!terminated && !truncated) continue;

    const outcome = { return: episodeReturn, steps: decisions.length, terminated, lastInfo: next.info };
    const success = environment.isSuccess(outcome);
    return {
      success,
      failure: success ? undefined : environment.failureOf?.(outcome),
      return: episodeReturn,
      decisions,
      transcript: isKept
        ? { episode, seed: episodeSeed, success, return: episodeReturn, steps, finalFrame: next.frame }
        : undefined,
    };
  }
}

function scoreOf(played: readonly PlayedEpisode[]): Score {
  const episodes = played.length;
  const decisions = played.flatMap((episode) => episode.decisions);
  const successes = played.filter(({ success }) => success).length;
  const returns = meanInterval(played.map((episode) => episode.return));
  return {
    episodes,
    successRate: successes / episodes,
    successInterval: wilsonInterval(successes, episodes),
    returnMean: returns.mean,
    returnInterval: returns.interval,
    stepsMean: decisions.length / episodes,
    actionAccuracy: share(decisions, ({ optimal }) => optimal),
    readingAccuracy: share(decisions, ({ readsState }) => readsState),
    faults: faultsOf(decisions),
    failures: failuresOf(played),
  };
}

function faultsOf(decisions: readonly Judged[]): DecisionFaults {
  const readable = decisions.filter(({ named }) => named);
  const legal = readable.filter((decision) => decision.legal);
  const read = legal.filter(({ readsState }) => readsState !== false);
  const rate = (count: number): number => count / decisions.length;
  const canTell = (of: (decision: Judged) => boolean | undefined): boolean =>
    decisions.every((decision) => of(decision) !== undefined);
  return {
    unreadable: rate(decisions.length - readable.length),
    illegal: rate(readable.length - legal.length),
    misread: canTell(({ readsState }) => readsState) ? rate(legal.length - read.length) : null,
    wrong: canTell(({ optimal }) => optimal) ? rate(read.filter(({ optimal }) => !optimal).length) : null,
  };
}

/** Every way in which an episode failed in any of the scores, the most frequent first. */
export function failureKinds(scores: readonly Score[]): string[] {
  const totals = new Map<string, number>();
  for (const { failures } of scores) {
    for (const [kind, rate] of Object.entries(failures ?? {}))
      totals.set(kind, (totals.get(kind) ?? 0) + rate);
  }
  return mostFirst(totals).map(([kind]) => kind);
}

function mostFirst(amounts: ReadonlyMap<string, number>): [string, number][] {
  return [...amounts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
}

function failuresOf(played: readonly PlayedEpisode[]): Record<string, number> | null {
  const counts = new Map<string, number>();
  for (const { success, failure } of played) {
    if (success) continue;
    if (failure === undefined) return null;
    counts.set(failure, (counts.get(failure) ?? 0) + 1);
  }
  return Object.fromEntries(mostFirst(counts).map(([failure, count]) => [failure, count / played.length]));
}

/** Share of the decisions for which a judgement is true; null where one of them has none. */
function share(decisions: readonly Judged[], of: (decision: Judged) => boolean | undefined): number | null {
  const judgements = decisions.map(of);
  return judgements.includes(undefined) ? null : judgements.filter(Boolean).length / judgements.length;
}

function requirePositiveInteger(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new RangeError(`${name}: expected an integer >= 1, received ${value}`);
  }
}
