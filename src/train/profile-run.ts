/** What the engine does during updates of a configured algorithm. */
import { measurePeaks } from "../native/peaks.js";
import type { Peaks, Profile } from "../native/types.js";
import type { RunConfig } from "./config.js";
import { ConfigError, describeReceived } from "./config-error.js";
import { loadPolicy } from "./load-policy.js";
import { findTask } from "./tasks.js";
import { trainingUpdates } from "./train.js";

export interface ProfiledRun {
  readonly profile: Profile;
  /** Measured right after it, with the engine's number of threads and on its path. */
  readonly peaks: Peaks;
}

/**
 * Trains for some updates (steps, of supervised fine-tuning) and profiles them, after one more that only warms up
 * memory and caches. Nothing is saved.
 *
 * @param config its number of updates does not count
 * @param updates >= 1
 * @throws CheckpointError, ConfigError, and what the algorithm throws
 */
export async function profileRun(config: RunConfig, updates: number): Promise<ProfiledRun> {
  if (config.device !== "cpu") {
    throw new ConfigError("profile", [
      {
        path: "device",
        expected: "cpu, since the ops are held against what the CPU can do",
        received: describeReceived(config.device),
      },
    ]);
  }
  const policy = await loadPolicy(config);
  try {
    const training = trainingUpdates({
      config: withUpdates(config, 1 + updates),
      task: findTask(config.task),
      policy,
    });
    await training.next();
    const { profile } = await policy.profile(async () => {
      for (let update = 0; update < updates; update++) await training.next();
    });
    await training.return();
    const { threads } = config;
    return { profile, peaks: await measurePeaks(threads === undefined ? {} : { threads }) };
  } finally {
    policy.dispose();
  }
}

function withUpdates(config: RunConfig, updates: number): RunConfig {
  return config.algorithm === "ppo"
    ? { ...config, ppo: { ...config.ppo, updates } }
    : { ...config, sft: { ...config.sft, steps: updates } };
}
