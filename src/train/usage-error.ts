import { CheckpointError } from "../models/checkpoint-error.js";
import { ImageFileError } from "../models/image-file.js";
import { ImageSettingError } from "../models/image-settings.js";
import { LoraModulesError } from "../models/linear-layers.js";
import { PromptError } from "../models/prompts.js";
import { ConfigError } from "./config-error.js";
import { DemonstrationDataError } from "./demonstration-data.js";
import { MemoryError } from "./memory-check.js";
import { RunFolderError } from "./run-folder.js";

/** Whether an error is about what the user asked for (configuration, folder, model, data, a GPU too small), not about the run. */
export function isUsageError(error: unknown): boolean {
  return [
    ConfigError,
    RunFolderError,
    CheckpointError,
    ImageSettingError,
    LoraModulesError,
    ImageFileError,
    PromptError,
    DemonstrationDataError,
    MemoryError,
  ].some((type) => error instanceof type);
}
