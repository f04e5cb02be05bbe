import type { Prompt } from "../native/types.js";
import type { Response } from "../policy/policy.js";

/** One decision of one environment, with everything that the update needs to score it again. */
export interface Transition {
  /** What the response was sampled after. */
  readonly prompt: Prompt;
  /** What an update scores the response after: `prompt`, unless `PromptQuirks.initialPrompt` has another text. */
  readonly scoredPrompt: Prompt;
  readonly response: Response;
  readonly action: number;
  /** False where the response named no action and one was drawn uniformly. */
  readonly legal: boolean;
  readonly reward: number;
  readonly terminated: boolean;
  readonly truncated: boolean;
  /**
   * V of the state after this step when it is not the next transition's own state: the last observation of
   * a truncated episode, or of the rollout's end inside an episode. Zero after termination.
   */
  readonly bootstrapValue: number;
  /** Whether the action was optimal; undefined where the environment cannot tell. */
  readonly optimal: boolean | undefined;
  /** Whether the response states what the image shows; undefined where the environment cannot tell. */
  readonly readsState: boolean | undefined;
}

/** The consecutive transitions of one environment in one rollout; episodes may begin and end inside. */
export interface Trajectory {
  readonly environment: number;
  readonly transitions: readonly Transition[];
}

/** One episode that ended during a rollout. */
export interface FinishedEpisode {
  readonly environment: number;
  /** Counts the environment's episodes from 0. */
  readonly episode: number;
  readonly return: number;
  readonly steps: number;
  readonly success: boolean;
}

export interface Rollout {
  /** In order of environment. */
  readonly trajectories: readonly Trajectory[];
  /** In order of environment, then episode. */
  readonly episodes: readonly FinishedEpisode[];
}

/** Where each environment stands between two rollouts; enough to continue after a restart by replaying. */
export interface EnvironmentState {
  readonly episode: number;
  /** Actions of the running episode, from its reset. */
  readonly actions: readonly number[];
  /** Text under which the next episode's first decision is made; only with `PromptQuirks.stalePrompt`. */
  readonly stalePrompt?: string;
}
