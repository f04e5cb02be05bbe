import type { Writable } from "node:stream";
import type { CheckpointedPolicy } from "../train/checkpoint-store.js";
import type { ModelFiles, PolicyConfig } from "../train/load-policy.js";

/** What the commands take from their surroundings, so that tests can put something else in its place. */
export interface CliContext {
  /** Results, and the progress of a run. */
  readonly stdout: Writable & { isTTY?: boolean };
  /** Errors and notices. */
  readonly stderr: Writable & { isTTY?: boolean };
  loadPolicy(config: PolicyConfig): Promise<CheckpointedPolicy>;
  checkModel(model: ModelFiles): Promise<void>;
}
