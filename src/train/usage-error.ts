import { CheckpointError } from "../models/checkpoint.js";
import { ConfigError } from "./config-error.js";
import { DemonstrationDataError } from "./demonstration-data.js";
import { RunFolderError } from "./run-folder.js";

/** Whether an error is about what the user asked for (configuration, folder, model, data), not about the run. */
export function isUsageError(error: unknown): boolean {
  return [ConfigError, RunFolderError, CheckpointError, DemonstrationDataError].some(
    (type) => error instanceof type,
  );
}
