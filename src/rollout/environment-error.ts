/** Where in a run an environment failed; enough to reproduce it alone. */
export interface EnvironmentPosition {
  /** Index of the environment. */
  readonly environment: number;
  /** Counts the environment's episodes from 0. */
  readonly episode: number;
  /** Steps of the episode that had been played. */
  readonly step: number;
  /** What the episode's `reset` was given. */
  readonly seed: number;
}

/** An environment threw, or returned what its contract excludes. What it threw is the `cause`. */
export class EnvironmentError extends Error implements EnvironmentPosition {
  readonly code = "ENVIRONMENT_FAILED";
  readonly environment: number;
  readonly episode: number;
  readonly step: number;
  readonly seed: number;

  constructor(id: string, problem: string, position: EnvironmentPosition, options?: ErrorOptions) {
    const { environment, episode, step, seed } = position;
    const where = `environment ${environment} (${id}), episode ${episode}, step ${step}`;
    super(`${where}: ${problem}; to reproduce, reset it with seed ${seed} and replay the actions`, options);
    this.name = "EnvironmentError";
    this.environment = environment;
    this.episode = episode;
    this.step = step;
    this.seed = seed;
  }
}
