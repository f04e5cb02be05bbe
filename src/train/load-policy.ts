import { resolve } from "node:path";
import { readCheckpoint, requireWeights } from "../models/checkpoint.js";
import { VlmPolicy } from "../policy/vlm-policy.js";
import type { RunConfig } from "./config.js";
import { packagePath } from "./package-path.js";

/** The models that ship with the package, by the name a configuration gives them. */
const shippedModels = ["tiny-vlm"];

/** Folder of a model: that of a shipped one, or a path relative to the working directory. */
export function modelFolder(checkpoint: string): string {
  return shippedModels.includes(checkpoint) ? packagePath("assets", checkpoint) : resolve(checkpoint);
}

/** Which files a run starts from. */
export type ModelFiles = Pick<RunConfig["model"], "checkpoint" | "weights">;

/** Looks for the files that a run starts from, without loading them. @throws CheckpointError */
export async function checkModel({ checkpoint, weights }: ModelFiles): Promise<void> {
  const folder = modelFolder(checkpoint);
  await readCheckpoint(folder);
  if (weights === "trained") await requireWeights(folder);
}

/** What of a run's configuration makes its policy. */
export type PolicyConfig = Pick<RunConfig, "model" | "seed" | "device" | "precision" | "threads">;

/**
 * The policy that a run starts with.
 *
 * @throws CheckpointError where the model's folder lacks something
 */
export function loadPolicy(config: PolicyConfig): Promise<VlmPolicy> {
  const { model, seed, device, precision, threads } = config;
  const folder = modelFolder(model.checkpoint);
  const trainable = Object.fromEntries(model.frozen.map((component) => [component, "frozen"] as const));
  const options = { seed, device, precision, trainable, ...(threads !== undefined && { threads }) };
  return model.weights === "fresh" ? VlmPolicy.initialize(folder, options) : VlmPolicy.load(folder, options);
}
