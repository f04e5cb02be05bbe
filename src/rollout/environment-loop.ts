import type { Environment, Frame } from "../../envs/env.js";
import type { Prompt, RandomKey, SamplingSettings } from "../native/types.js";
import type { Policy, RespondOptions } from "../policy/policy.js";
import { deriveKey, Random, stream } from "../random.js";
import { EnvironmentError } from "./environment-error.js";
import type { EnvironmentState, FinishedEpisode, Transition } from "./trajectory.js";

/** What a loop asks of the policy: it reads its answers and never trains it. */
export type RespondingPolicy = Pick<Policy, "encode" | "respond">;

/** Where the prompts of the reference implementation differ from those that the environment gives for a state. */
export interface PromptQuirks {
  /** The first prompt of an episode is the text that describes the end of the episode before; the image is new. */
  readonly stalePrompt: boolean;
  /** Updates score, and the value after the last step is taken, under the first prompt text of the environment's run. */
  readonly initialPrompt: boolean;
}

const noQuirks: PromptQuirks = { stalePrompt: false, initialPrompt: false };

export interface LoopOptions {
  readonly policy: RespondingPolicy;
  /** Unsigned 32-bit seed of the run. */
  readonly seed: number;
  readonly sampling: SamplingSettings;
  /** Longest response, in tokens; >= 1. */
  readonly maxNewTokens: number;
  readonly stopStrings?: readonly string[];
  /** Default: none. */
  readonly promptQuirks?: PromptQuirks;
}

/** What one environment contributes to a rollout. */
export interface Play {
  readonly transitions: readonly Transition[];
  readonly episodes: readonly FinishedEpisode[];
}

/** The running episode. */
interface Episode {
  frame: Frame;
  info: unknown;
  return: number;
  readonly actions: number[];
}

/** The current state as model input. */
interface Observation {
  readonly prompt: Prompt;
  readonly scoredPrompt: Prompt;
}

/**
 * Plays one environment with the policy, episode after episode. Everything random is keyed by the run's seed,
 * the environment's index, the episode and the step, so what happens here depends on no other environment and
 * on no clock.
 */
export class EnvironmentLoop {
  readonly #environment: Environment;
  readonly #index: number;
  readonly #options: LoopOptions;
  readonly #quirks: PromptQuirks;
  /** Prompt text of the end of the last episode, and of the first reset; undefined without their quirk. */
  #stalePrompt: string | undefined;
  #initialPrompt: string | undefined;
  #episodeNumber = 0;
  /** Undefined between episodes: the next one is reset when its first step is due. */
  #episode: Episode | undefined;

  constructor(environment: Environment, index: number, options: LoopOptions) {
    this.#environment = environment;
    this.#index = index;
    this.#options = options;
    this.#quirks = options.promptQuirks ?? noQuirks;
  }

  /** Where the environment stands; valid while no call is running. */
  state(): EnvironmentState {
    const stalePrompt = this.#stalePrompt;
    return {
      episode: this.#episodeNumber,
      actions: [...(this.#episode?.actions ?? [])],
      ...(stalePrompt !== undefined && { stalePrompt }),
    };
  }

  /**
   * Brings a fresh environment to `state` by resetting the episode and replaying its actions.
   *
   * @throws EnvironmentError where the replayed episode ends before the last action
   */
  async restore(state: EnvironmentState): Promise<void> {
    // The first reset is where the run's initial prompt comes from.
    if (this.#quirks.initialPrompt) await this.#begin();
    this.#stalePrompt = state.stalePrompt;
    this.#episodeNumber = state.episode;
    this.#episode = undefined;
    if (state.actions.length === 0) return;
    const episode = await this.#begin();
    for (const action of state.actions) {
      const { terminated, truncated } = await this.#step(episode, action);
      if (terminated || truncated) {
        throw this.#error(`the episode ended while its ${state.actions.length} saved actions were replayed`);
      }
    }
  }

  /** Plays `steps` steps; the running episode goes on in the next call. */
  async play(steps: number, signal: AbortSignal): Promise<Play> {
    const transitions: Transition[] = [];
    const episodes: FinishedEpisode[] = [];
    for (let remaining = steps; remaining > 0; remaining--) {
      signal.throwIfAborted();
      const episode = this.#episode ?? (await this.#begin());
      const { transition, ended } = await this.#decide(episode, remaining === 1, signal);
      transitions.push(transition);
      if (!ended) continue;
      episodes.push(await this.#finish(episode, transition.terminated));
    }
    return { transitions, episodes };
  }

  async #begin(): Promise<Episode> {
    const { frame, info } = await this.#call("reset", (environment) => environment.reset(this.#seed()));
    this.#episode = { frame, info, return: 0, actions: [] };
    if (this.#quirks.initialPrompt) this.#initialPrompt ??= await this.#promptOf(info);
    return this.#episode;
  }

  /** One decision: observe, let the policy respond, read the action off the response, act. */
  async #decide(
    episode: Episode,
    isLast: boolean,
    signal: AbortSignal,
  ): Promise<{ transition: Transition; ended: boolean }> {
    const { policy, maxNewTokens } = this.#options;
    const { info } = episode;
    const { prompt, scoredPrompt } = await this.#observe(episode);
    const response = await policy.respond(prompt, this.#request(episode, maxNewTokens), signal);
    const named = await this.#call("parseAction", (environment) =>
      environment.parseAction(response.text, info),
    );
    const action = named ?? this.#drawAction(episode);
    const optimal = await this.#call("optimalActions", (environment) => environment.optimalActions?.(info));
    const readsState = await this.#call("readsState", (environment) =>
      environment.readsState?.(response.text, info),
    );

    const { reward, terminated, truncated } = await this.#step(episode, action);

    let bootstrapValue = 0;
    if (!terminated && (truncated || isLast)) {
      const state = await this.#observe(episode);
      bootstrapValue = (await policy.respond(state.scoredPrompt, this.#request(episode, 0), signal)).value;
    }
    const transition: Transition = {
      prompt,
      scoredPrompt,
      response,
      action,
      legal: named !== undefined,
      reward,
      terminated,
      truncated,
      bootstrapValue,
      optimal: optimal?.includes(action),
      readsState,
    };
    return { transition, ended: terminated || truncated };
  }

  async #step(
    episode: Episode,
    action: number,
  ): Promise<{ reward: number; terminated: boolean; truncated: boolean }> {
    const result = await this.#call("step", (environment) => environment.step(action));
    if (!Number.isFinite(result.reward)) {
      throw this.#error(`step: expected a finite reward, received ${result.reward}`);
    }
    const before = episode.frame;
    episode.frame = result.frame;
    await this.#call("recycle", (environment) => environment.recycle?.(before));
    episode.info = result.info;
    episode.return += result.reward;
    episode.actions.push(action);
    return result;
  }

  async #finish(episode: Episode, terminated: boolean): Promise<FinishedEpisode> {
    const steps = episode.actions.length;
    const outcome = { return: episode.return, steps, terminated, lastInfo: episode.info };
    const finished: FinishedEpisode = {
      environment: this.#index,
      episode: this.#episodeNumber,
      return: episode.return,
      steps,
      success: await this.#call("isSuccess", (environment) => environment.isSuccess(outcome)),
    };
    if (this.#quirks.stalePrompt) this.#stalePrompt = await this.#promptOf(episode.info);
    this.#episode = undefined;
    this.#episodeNumber += 1;
    return finished;
  }

  async #observe({ frame, info, actions }: Episode): Promise<Observation> {
    const { policy } = this.#options;
    const stale = actions.length === 0 ? this.#stalePrompt : undefined;
    const text = stale ?? (await this.#promptOf(info));
    const prompt = policy.encode(frame, text);
    const initial = this.#initialPrompt;
    if (initial === undefined || initial === text) return { prompt, scoredPrompt: prompt };
    // The same frame: its pixel values are kept once.
    return { prompt, scoredPrompt: { ...policy.encode(frame, initial), images: prompt.images } };
  }

  #promptOf(info: unknown): Promise<string> {
    return this.#call("prompt", (environment) => environment.prompt(info));
  }

  #request(episode: Episode, maxNewTokens: number): RespondOptions {
    const { sampling, stopStrings } = this.#options;
    const randomKey = this.#key(stream.sampling, episode.actions.length);
    return { sampling, randomKey, maxNewTokens, ...(stopStrings && { stopStrings }) };
  }

  /** Equation 4.1 of the paper: a response that names no action is followed by a uniform one. */
  #drawAction(episode: Episode): number {
    const random = new Random(this.#key(stream.fallbackAction, episode.actions.length));
    return random.integer(this.#environment.actionSpace.labels.length);
  }

  /** Fixes everything random in the running (or next) episode of the environment. */
  #seed(): number {
    return this.#key(stream.episode)[0];
  }

  #key(purpose: number, ...step: number[]): RandomKey {
    return deriveKey(this.#options.seed, purpose, this.#index, this.#episodeNumber, ...step);
  }

  /** Calls into the environment, so that whatever it throws says where it happened. */
  async #call<T>(operation: string, call: (environment: Environment) => T | Promise<T>): Promise<T> {
    try {
      return await call(this.#environment);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw this.#error(`${operation} failed: ${reason}`, { cause });
    }
  }

  #error(problem: string, options?: ErrorOptions): EnvironmentError {
    const position = {
      environment: this.#index,
      episode: this.#episodeNumber,
      step: this.#episode?.actions.length ?? 0,
      seed: this.#seed(),
    };
    return new EnvironmentError(this.#environment.id, problem, position, options);
  }
}
