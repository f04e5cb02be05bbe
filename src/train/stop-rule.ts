/**
 * Which weights a run keeps and when it ends. The rollout of update j + 1 is played by the weights that
 * update j left, so it measures them at no cost; and since success can collapse within an update once nearly
 * all advantages are noise, the best weights so far are kept rather than the last.
 */
import type { Rollout } from "../rollout/trajectory.js";

export interface StopSettings {
  /** Success rate in [0, 1] of a rollout that counts as solved. */
  readonly successRate: number;
  /** Consecutive rollouts that must reach it, >= 1. */
  readonly patience: number;
  /** Rollouts with fewer finished episodes are no measurement: they neither extend nor break the series. */
  readonly minimumEpisodes: number;
}

/** What the rule remembers; JSON-serialisable. */
export interface StopState {
  /** The saved weights with the highest success rate measured so far. */
  readonly best: { readonly update: number; readonly successRate: number } | null;
  readonly solvedInARow: number;
}

export const initialStopState: StopState = { best: null, solvedInARow: 0 };

/**
 * Takes in the rollout of one update.
 *
 * @param state before
 * @param rollout what the weights of `measured` played
 * @param measured the update that left these weights, 0 for the initial ones
 * @param isSaved whether a checkpoint of them exists, without which they cannot become the best
 */
export function observeRollout(
  state: StopState,
  rollout: Rollout,
  measured: number,
  isSaved: boolean,
  settings: StopSettings,
): StopState {
  const { episodes } = rollout;
  if (episodes.length < settings.minimumEpisodes) return state;
  const successRate = episodes.filter(({ success }) => success).length / episodes.length;
  const isBest = isSaved && (state.best === null || successRate > state.best.successRate);
  return {
    best: isBest ? { update: measured, successRate } : state.best,
    solvedInARow: successRate >= settings.successRate ? state.solvedInARow + 1 : 0,
  };
}

/** Whether enough rollouts in a row were solved. */
export function isSolved(state: StopState, settings: StopSettings): boolean {
  return state.solvedInARow >= settings.patience;
}
