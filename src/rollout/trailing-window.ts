import type { FinishedEpisode, Rollout } from "./trajectory.js";

/** What the window keeps of an episode. */
export type WindowedEpisode = Pick<FinishedEpisode, "return" | "success">;

/** What each metric means. */
export const windowMetrics = {
  "rollout/window_success_rate": "Share of the last finished episodes of training that count as solved.",
  "rollout/window_return_mean": "Mean undiscounted return of those episodes.",
} as const;

/**
 * The last finished episodes of training, across rollouts: what the curves of Zhai et al. 2024 (arXiv 2405.10292) show. The
 * policy changes while the window fills, and nothing is held out: success lags behind the policy's.
 */
export class TrailingWindow {
  readonly #size: number;
  #episodes: WindowedEpisode[];

  /**
   * @param size most episodes kept, >= 1
   * @param episodes what `state` returned, to continue with
   */
  constructor(size: number, episodes: readonly WindowedEpisode[] = []) {
    this.#size = size;
    this.#episodes = [...episodes];
  }

  add(rollout: Rollout): void {
    const finished = inOrderOfTime(rollout).map(({ return: total, success }) => ({ return: total, success }));
    this.#episodes = [...this.#episodes, ...finished].slice(-this.#size);
  }

  /** Undefined while no episode has finished. */
  metrics(): Record<keyof typeof windowMetrics, number | undefined> {
    const mean = (of: (episode: WindowedEpisode) => number): number | undefined =>
      this.#episodes.length === 0
        ? undefined
        : this.#episodes.reduce((sum, episode) => sum + of(episode), 0) / this.#episodes.length;
    return {
      "rollout/window_success_rate": mean(({ success }) => Number(success)),
      "rollout/window_return_mean": mean((episode) => episode.return),
    };
  }

  state(): WindowedEpisode[] {
    return [...this.#episodes];
  }
}

/** A rollout's episodes by the step in which they ended, then by environment. */
function inOrderOfTime({ trajectories, episodes }: Rollout): FinishedEpisode[] {
  const timed = trajectories.flatMap(({ environment, transitions }) => {
    const own = episodes.filter((episode) => episode.environment === environment);
    const ends = transitions.flatMap(({ terminated, truncated }, t) => (terminated || truncated ? [t] : []));
    return own.map((episode, index) => ({ episode, end: ends[index]! }));
  });
  // Sorting is stable, so environments stay in order where ends are equal.
  return timed.sort((a, b) => a.end - b.end).map(({ episode }) => episode);
}
