/**
 * One run of any algorithm: it drives the algorithm's generator and owns all around it (metrics, checkpoints,
 * the stop rule, evaluation before and after, the summary and the report). Nothing in a run's results depends
 * on the clock, so an interrupted run that is resumed ends with the same bytes as one that was not.
 */
import type { Environment, Expert } from "../../envs/env.js";
import { deriveKey, stream } from "../random.js";
import type { Rollout } from "../rollout/trajectory.js";
import { type CheckpointedPolicy, CheckpointStore, type RunState } from "./checkpoint-store.js";
import { formatDuration } from "./duration.js";
import { improvementOf } from "./improvement.js";
import { type Answering, evaluateGreedy, evaluateReferences, evaluateSampled, type Panel } from "./panels.js";
import { type Progress, silentProgress } from "./progress.js";
import { saveTranscripts } from "./recorded-episode.js";
import { writeReport } from "./report.js";
import type { RunFolder } from "./run-folder.js";
import { openRunLog, type RunLog } from "./run-log.js";
import { initialStopState, isSolved, observeRollout, type StopSettings } from "./stop-rule.js";
import { readPanelScores, type Summary, writePanelScores, writeSummary } from "./summary.js";

/** What an algorithm yields after each update. */
export interface AlgorithmUpdate<State> {
  /** Counts from 1. */
  readonly update: number;
  /** Environment steps so far; 0 for algorithms that play none. */
  readonly environmentSteps: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** What was played before the update, by the weights that the update before left. */
  readonly rollout?: Rollout;
  /** JSON-serialisable; enough, with the policy's checkpoint, to continue. */
  readonly state: State;
}

/**
 * Trains the run's policy, one yield per update. Starts at the beginning or after the update whose state is
 * given; ends when its updates are used up. When the signal is aborted it may finish the update it is in, or
 * throw the signal's reason.
 */
export type Algorithm<State> = (
  resume: State | undefined,
  signal: AbortSignal | undefined,
) => AsyncIterable<AlgorithmUpdate<State>>;

export interface RunSettings {
  /** Names of the task and the algorithm, for the summary. */
  readonly task: string;
  readonly algorithm: string;
  /** Unsigned 32-bit seed of the run. */
  readonly seed: number;
  /** Most updates that the algorithm makes; for the progress display. */
  readonly updates: number;
  /** Updates between checkpoints, >= 1. */
  readonly checkpointEvery: number;
  /** When to stop early and which weights to keep; without it the last weights are the result. */
  readonly stop?: StopSettings;
  readonly evaluation: EvaluationSettings;
  /** Metrics worth showing while the run goes on: key by short name. */
  readonly headline: Readonly<Record<string, string>>;
}

export interface EvaluationSettings extends Answering {
  /** Held-out episodes, >= 1, before and after training. */
  readonly episodes: number;
  /** Unsigned 32-bit integer that fixes them. */
  readonly seed: number;
  /** Held-out episodes to record with frames, of before and of after each. */
  readonly transcripts: number;
  /** Further episodes on which the best and the last weights are compared at the end; needs `stop`. */
  readonly selectionEpisodes?: number;
}

export interface RunOptions<State, Info = unknown> {
  /** New, or of the run to continue. */
  readonly folder: RunFolder;
  /** Trained in place; ends up with the weights that the run chose. */
  readonly policy: CheckpointedPolicy;
  readonly algorithm: Algorithm<State>;
  /** Makes the environments of evaluations. */
  readonly makeEnvironment: () => Environment<Info>;
  /** Plays the panel for comparison. */
  readonly expert?: Expert<Info> | undefined;
  readonly settings: RunSettings;
  readonly progress?: Progress;
  /** Ends the run early with a checkpoint to resume from. */
  readonly signal?: AbortSignal;
}

export type RunOutcome =
  | { readonly status: "finished"; readonly summary: Summary }
  /** `update`: the checkpoint from which the run can be resumed. */
  | { readonly status: "interrupted"; readonly update: number };

/**
 * Runs to the end, or to the interruption. A folder that holds a checkpoint is continued from it.
 *
 * @throws whatever the algorithm, the policy or an environment throws; the last checkpoint stays whole
 */
export async function run<State, Info>(options: RunOptions<State, Info>): Promise<RunOutcome> {
  const { folder, progress = silentProgress, signal } = options;
  const log = openRunLog(folder.file("log.jsonl"));
  const store = await CheckpointStore.open<State>(folder.checkpoints);
  try {
    const summary = await new Run(options, store, log).play();
    log.info({ summary }, "run finished");
    return { status: "finished", summary };
  } catch (error) {
    if (signal?.aborted && error === signal.reason) {
      const update = store.savedUpdate ?? 0;
      log.info({ update }, "run interrupted");
      return { status: "interrupted", update };
    }
    log.error({ err: error }, "run failed");
    throw error;
  } finally {
    progress.end();
    log.close();
  }
}

class Run<State, Info> {
  readonly #options: RunOptions<State, Info>;
  readonly #store: CheckpointStore<State>;
  readonly #log: RunLog;
  readonly #progress: Progress;
  readonly #panel: Panel<Info>;
  #state: RunState<State>;
  /** Seconds that the run took before this process, and when this process began. */
  #earlierSeconds = 0;
  readonly #startMs = performance.now();

  constructor(options: RunOptions<State, Info>, store: CheckpointStore<State>, log: RunLog) {
    const { makeEnvironment, settings, signal } = options;
    this.#options = options;
    this.#store = store;
    this.#log = log;
    this.#progress = options.progress ?? silentProgress;
    this.#panel = {
      makeEnvironment,
      episodes: settings.evaluation.episodes,
      seed: settings.evaluation.seed,
      signal,
    };
    this.#state = store.lastState() ?? {
      update: 0,
      environmentSteps: 0,
      algorithm: null,
      stop: initialStopState,
    };
  }

  async play(): Promise<Summary> {
    await this.#restore();
    await this.#evaluate("before");
    await this.#train();
    const chosen = await this.#choose();
    await this.#evaluate("after");
    return this.#summarize(chosen);
  }

  /** Puts policy and records where the last checkpoint is, or saves the first one. */
  async #restore(): Promise<void> {
    const { folder, policy, settings } = this.#options;
    const { update } = this.#state;
    if (this.#store.savedUpdate === undefined) {
      this.#log.info({ settings }, "run begins");
      await this.#store.save(policy, this.#state);
      return;
    }
    this.#log.info({ settings, update }, "run resumes");
    this.#progress.message(`resuming after update ${update}`);
    await policy.loadCheckpoint(this.#store.last);
    await folder.metrics.truncateAfter(update);
    await folder.timing.truncateAfter(update);
    const timed = (await folder.timing.read()).at(-1);
    this.#earlierSeconds = (timed?.elapsedSeconds as number | undefined) ?? 0;
  }

  async #train(): Promise<void> {
    const { algorithm, signal, settings } = this.#options;
    this.#progress.begin(this.#state.update, settings.updates);
    let updateStartMs = performance.now();
    if (!this.#isSolved()) {
      for await (const update of algorithm(this.#state.algorithm ?? undefined, signal)) {
        await this.#take(update, (performance.now() - updateStartMs) / 1000);
        signal?.throwIfAborted();
        if (this.#isSolved()) break;
        updateStartMs = performance.now();
      }
    }
    if (this.#store.savedUpdate !== this.#state.update) await this.#save();
    this.#progress.end();
  }

  /** Books one update. Metrics reach the disk before the checkpoint, so a resumed run never lacks a line. */
  async #take(taken: AlgorithmUpdate<State>, seconds: number): Promise<void> {
    const { folder, settings, signal } = this.#options;
    const { update, environmentSteps, metrics, rollout, state } = taken;
    const measured = this.#state.update;
    const before = this.#state.stop;
    // Only weights saved on schedule count, so that an interruption's extra checkpoint changes nothing.
    const isSaved = measured % settings.checkpointEvery === 0;
    const stop =
      rollout !== undefined && settings.stop !== undefined
        ? observeRollout(before, rollout, measured, isSaved, settings.stop)
        : before;
    this.#state = { update, environmentSteps, algorithm: state, stop };
    if (stop.best !== before.best) this.#log.info({ best: stop.best }, "best weights so far");
    await folder.metrics.append({ update, environmentSteps, ...metrics });
    await folder.timing.append({ update, seconds, elapsedSeconds: this.#elapsedSeconds() });
    if (update % settings.checkpointEvery === 0 || this.#isSolved() || signal?.aborted) await this.#save();
    const headline = Object.entries(settings.headline).flatMap(([name, key]) => {
      const value = metrics[key];
      return value === undefined ? [] : [[name, value]];
    });
    this.#progress.update({ update, seconds, headline: Object.fromEntries(headline) });
  }

  /**
   * Leaves the policy with the weights that are the run's result: the best by rollouts, or the last, which no
   * rollout has measured. Both play further episodes, whose seeds belong to neither training nor the panel.
   *
   * @returns the update that left these weights
   */
  async #choose(): Promise<number> {
    const { policy, settings } = this.#options;
    const { update, stop } = this.#state;
    const episodes = settings.evaluation.selectionEpisodes;
    if (episodes !== undefined && stop.best !== null && stop.best.update !== update) {
      const panel = { ...this.#panel, episodes, seed: deriveKey(settings.seed, stream.evaluation)[0] };
      const measure = async (): Promise<number> =>
        (await evaluateSampled(policy, panel, settings.evaluation)).score.successRate;
      const last = await measure();
      await policy.loadCheckpoint(this.#store.best);
      const best = await measure();
      this.#log.info({ best, last }, "success rates of the best and the last weights");
      if (best > last) return stop.best.update;
      await policy.loadCheckpoint(this.#store.last);
    }
    await this.#store.markBest(update);
    return update;
  }

  /** Plays the held-out panel and keeps its scores and first episodes, unless an earlier process did. */
  async #evaluate(phase: "before" | "after"): Promise<void> {
    const { folder, policy, settings } = this.#options;
    const { episodes, transcripts } = settings.evaluation;
    if ((await readPanelScores(folder, phase)) !== undefined) return;
    this.#progress.message(`playing ${episodes} held-out episodes ${phase} training, sampled and greedy`);
    const sampled = await evaluateSampled(policy, this.#panel, settings.evaluation, transcripts);
    const greedy = await evaluateGreedy(policy, this.#panel, settings.evaluation);
    await saveTranscripts(folder.file("episodes", phase), sampled.transcripts);
    await writePanelScores(folder, phase, { sampled: sampled.score, greedy });
    this.#log.info({ sampled: sampled.score, greedy }, `evaluated ${phase} training`);
  }

  async #summarize(chosen: number): Promise<Summary> {
    const { folder, settings } = this.#options;
    const [before, after] = [await readPanelScores(folder, "before"), await readPanelScores(folder, "after")];
    const references = await evaluateReferences(this.#panel, this.#options.expert);
    const summary: Summary = {
      task: settings.task,
      algorithm: settings.algorithm,
      before: before!.sampled,
      after: after!.sampled,
      random: references.random.successRate,
      optimal: references.optimal?.successRate ?? null,
      greedy: { before: before!.greedy, after: after!.greedy },
      improvement: {
        sampled: improvementOf(before!.sampled, after!.sampled),
        greedy: improvementOf(before!.greedy, after!.greedy),
      },
      references,
      seed: settings.seed,
      updates: this.#state.update,
      chosenUpdate: chosen,
      stopReason: this.#isSolved() ? "solved" : "updates",
      environmentSteps: this.#state.environmentSteps,
      wallSeconds: this.#elapsedSeconds(),
    };
    await writeReport(folder, summary);
    // Last, because a folder with a summary is a finished run.
    await writeSummary(folder, summary);
    this.#progress.message(`finished after ${formatDuration(summary.wallSeconds)}`);
    return summary;
  }

  #isSolved(): boolean {
    const { stop } = this.#options.settings;
    return stop !== undefined && isSolved(this.#state.stop, stop);
  }

  #save(): Promise<void> {
    return this.#store.save(this.#options.policy, this.#state);
  }

  #elapsedSeconds(): number {
    return this.#earlierSeconds + (performance.now() - this.#startMs) / 1000;
  }
}
