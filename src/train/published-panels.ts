/** A panel by which results of a task are reported. */
export interface PublishedPanel {
  /** Held-out episodes. */
  readonly episodes: number;
  /** Fixes them: episode e starts from `deriveKey(seed, stream.evaluation, stream.episode, e)`. */
  readonly seed: number;
}

/**
 * The panels by which this project reports its tasks (docs/evaluation.md), by task. Blackjack has more chance in it: to
 * tell a win rate of 0.40 from 0.43 takes thousands of hands.
 */
export const publishedPanels: Readonly<Record<string, PublishedPanel>> = {
  "number-line": { episodes: 300, seed: 1 },
  "ez-points": { episodes: 300, seed: 1 },
  points24: { episodes: 300, seed: 1 },
  blackjack: { episodes: 4000, seed: 1 },
};
