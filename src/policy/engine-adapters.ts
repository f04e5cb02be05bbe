/** Which of a model's linear layers get adapters in the engine. */
import { engineAdapter, isAdapterFolder, readAdapter } from "../models/adapter-files.js";
import type { Checkpoint } from "../models/checkpoint.js";
import { CheckpointError } from "../models/checkpoint-error.js";
import { linearLayers, matchingLayers } from "../models/linear-layers.js";
import type { Component, EngineOptions, LoraSpec, Trainable } from "../native/types.js";

export interface LoraOptions extends Omit<LoraSpec, "modules"> {
  /**
   * Which linear layers of the components trained as `lora` get adapters: a regular expression that, as Python's `re.fullmatch` has
   * it, matches the path of their modules in Hugging Face Transformers, or of their weights on the hub. Default: all.
   */
  modules?: string;
}

/** What of the options says how adapters are trained. */
export interface AdapterOptions {
  readonly trainable?: Partial<Record<Component, Trainable>>;
  readonly lora?: LoraOptions;
}

/** What the engine is told of adapters. */
export type EngineAdapters = Pick<EngineOptions, "trainable" | "lora">;

/**
 * The engine's options for the adapters that are asked for.
 *
 * @throws LoraModulesError for a pattern that chooses no layer
 */
export function chosenAdapters(
  { spec, layout }: Pick<Checkpoint, "spec" | "layout">,
  { trainable = {}, lora }: AdapterOptions,
): EngineAdapters {
  if (lora === undefined) return { trainable };
  const { modules, ...settings } = lora;
  if (modules === undefined) return { trainable, lora: settings };
  const candidates = linearLayers(spec, layout).filter(({ component }) => trainable[component] === "lora");
  return {
    trainable,
    lora: { ...settings, modules: matchingLayers(candidates, modules).map(({ name }) => name) },
  };
}

/**
 * The engine's options for the adapters of a model: those asked for, or where none are, those that its folder holds.
 *
 * @throws LoraModulesError for a pattern that chooses no layer; CheckpointError FILES_DISAGREE where the folder has an adapter of another
 *   rank or scale than is asked for
 */
export async function engineAdapters(
  checkpoint: Checkpoint,
  options: AdapterOptions,
): Promise<EngineAdapters> {
  const { spec, layout, folder } = checkpoint;
  const { trainable = {}, lora } = options;
  if (layout === null || !(await isAdapterFolder(folder))) return chosenAdapters(checkpoint, options);
  const adapter = await readAdapter(folder, spec, layout);
  const { rank, alpha } = adapter.config;
  if (lora === undefined) {
    const { layers } = engineAdapter(adapter, spec, layout);
    const adapted = Object.fromEntries(layers.map(({ component }) => [component, "lora"] as const));
    const modules = layers.map(({ name }) => name);
    return { trainable: { ...trainable, ...adapted }, lora: { rank, alpha, modules } };
  }
  if (rank !== lora.rank || alpha !== lora.alpha) {
    throw new CheckpointError(
      "FILES_DISAGREE",
      folder,
      `expected an adapter of rank ${lora.rank} and alpha ${lora.alpha}, as lora has it, received rank ${rank} and alpha ${alpha}`,
    );
  }
  return chosenAdapters(checkpoint, options);
}
