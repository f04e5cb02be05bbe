import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { findWeights, readCheckpoint } from "../models/checkpoint.js";
import type { ModelMapping } from "../models/families/family.js";
import { knownMappings } from "../models/known-models.js";
import type { Component, EngineOptions, Trainable } from "../native/types.js";
import { chosenAdapters, type LoraOptions } from "../policy/engine-adapters.js";
import { VlmPolicy, type VlmPolicyOptions } from "../policy/vlm-policy.js";
import type { RunConfig } from "./config.js";
import { packagePath } from "./package-path.js";
import type { RunFolder } from "./run-folder.js";

/** The models that ship with the package, by the name a configuration gives them. */
const shippedModels = ["tiny-vlm", "tiny-vlm-ez-points", "tiny-vlm-points24", "tiny-vlm-blackjack"];

/** Folder of a model: that of a shipped one, or a path relative to the working directory. */
export function modelFolder(checkpoint: string): string {
  return shippedModels.includes(checkpoint) ? packagePath("assets", checkpoint) : resolve(checkpoint);
}

/** A published model whose folder is not there yet: enough to check and to plan a run of it. */
export function absentKnownModel(checkpoint: string): DescribedModel | undefined {
  return existsSync(modelFolder(checkpoint)) ? undefined : knownMappings[checkpoint];
}

/** The sizes of a model and the names of its layers. */
export type DescribedModel = Pick<ModelMapping, "spec" | "layout">;

/** Which files a run starts from. */
export type ModelFiles = Pick<RunConfig["model"], "checkpoint" | "weights" | "images">;

/** Looks for the files that a run starts from, without loading them. @throws CheckpointError, ImageSettingError */
export async function checkModel({ checkpoint, weights, images }: ModelFiles): Promise<void> {
  const folder = modelFolder(checkpoint);
  const model = await readCheckpoint(folder, images);
  if (weights === "trained") await findWeights(model, folder);
}

/** What of a run's configuration makes its policy. */
export type PolicyConfig = Pick<
  RunConfig,
  "model" | "seed" | "device" | "precision" | "activationCheckpointing" | "threads"
>;

/** How the policy of a run is made that goes on in its folder: with the last checkpoint's weights, where there is one. */
export function resumedConfig(config: RunConfig, { last }: RunFolder): RunConfig {
  return last === undefined
    ? config
    : { ...config, model: { ...config.model, checkpoint: last, weights: "trained" } };
}

/**
 * The policy that a run starts with.
 *
 * @throws CheckpointError where the model's folder lacks something
 */
export function loadPolicy(config: PolicyConfig): Promise<VlmPolicy> {
  const { model } = config;
  const folder = modelFolder(model.checkpoint);
  const options = { ...policyOptions(config), ...(model.images && { images: model.images }) };
  return model.weights === "fresh" ? VlmPolicy.initialize(folder, options) : VlmPolicy.load(folder, options);
}

/** How a configured run's engine is made for a model. @throws LoraModulesError */
export function engineOptions(
  config: PolicyConfig,
  model: DescribedModel,
): Omit<EngineOptions, "model" | "tokenBytes"> {
  const { images: _, lora, ...options } = policyOptions(config);
  return { ...options, ...chosenAdapters(model, { ...options, ...(lora && { lora }) }) };
}

/** How a configured run's policy is made, whatever the model. */
function policyOptions(config: PolicyConfig): VlmPolicyOptions {
  const { model, seed, device, precision, activationCheckpointing, threads } = config;
  const { components = [], modules, ...lora } = model.lora ?? {};
  const trainable: Partial<Record<Component, Trainable>> = {};
  for (const component of model.frozen) trainable[component] = "frozen";
  for (const component of components) trainable[component] = "lora";
  return {
    seed,
    device,
    precision,
    activationCheckpointing,
    trainable,
    ...(model.lora && { lora: { ...(lora as LoraOptions), ...(modules !== undefined && { modules }) } }),
    ...(threads !== undefined && { threads }),
  };
}
