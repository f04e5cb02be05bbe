import { Mean } from "../rl/statistics.js";
import type { Rollout } from "./trajectory.js";

/** What can be read off a rollout, whatever the algorithm. */
export const rolloutMetrics = {
  "rollout/success_rate":
    "Share of the episodes that ended in this rollout which the environment calls solved.",
  "rollout/return_mean": "Mean undiscounted return of those episodes.",
  "rollout/episodes": "Number of episodes that ended in this rollout.",
  "rollout/action_accuracy": "Share of actions that were optimal, where the environment can tell.",
  "rollout/reading_accuracy": "Share of responses that state what the image shows, where that can be told.",
  "rollout/illegal_rate": "Share of responses that named no action, so that one was drawn uniformly.",
  "rollout/response_tokens_mean": "Mean length of a response, in tokens, end token included.",
  "rollout/value_mean": "Mean value of the visited states, as estimated when they were visited.",
} as const;

export type RolloutMetric = keyof typeof rolloutMetrics;

/** The metrics of one rollout; undefined where nothing defines them. */
export function summarizeRollout({
  trajectories,
  episodes,
}: Rollout): Record<RolloutMetric, number | undefined> {
  const transitions = trajectories.flatMap((trajectory) => trajectory.transitions);
  return {
    "rollout/success_rate": mean(episodes, ({ success }) => Number(success)),
    "rollout/return_mean": mean(episodes, (episode) => episode.return),
    "rollout/episodes": episodes.length,
    "rollout/action_accuracy": mean(transitions, ({ optimal }) => toNumber(optimal)),
    "rollout/reading_accuracy": mean(transitions, ({ readsState }) => toNumber(readsState)),
    "rollout/illegal_rate": mean(transitions, ({ legal }) => Number(!legal)),
    "rollout/response_tokens_mean": mean(transitions, ({ response }) => response.tokens.length),
    "rollout/value_mean": mean(transitions, ({ response }) => response.value),
  };
}

/** The record without its undefined entries: a metric that nothing defines leaves its key out. */
export function dropUndefined(record: Readonly<Record<string, number | undefined>>): Record<string, number> {
  const entries = Object.entries(record).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return Object.fromEntries(entries);
}

function toNumber(flag: boolean | undefined): number | undefined {
  return flag === undefined ? undefined : Number(flag);
}

/** Over the items for which `measure` is defined. */
function mean<T>(items: readonly T[], measure: (item: T) => number | undefined): number | undefined {
  const result = new Mean();
  for (const item of items) {
    const measured = measure(item);
    if (measured !== undefined) result.add(measured);
  }
  return result.value;
}
