/** Low-rank adapters in the files of PEFT: `adapter_config.json` and `adapter_model.safetensors`. */
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { ModelSpec } from "../native/model-spec.js";
import { readTensorList } from "../native/tensor-files.js";
import type { ParameterInfo, SavedTensors } from "../native/types.js";
import {
  type AdapterConfig,
  adapterConfig,
  adapterConfigText,
  type WrittenAdapter,
} from "./adapter-config.js";
import { CheckpointError } from "./checkpoint-error.js";
import { checkpointFiles, isReadable, missingFile, parseJson } from "./checkpoint-files.js";
import type { TensorLayout } from "./families/family.js";
import { type LinearLayer, linearLayers } from "./linear-layers.js";

export const adapterFileNames = {
  config: "adapter_config.json",
  weights: "adapter_model.safetensors",
} as const;

const keyPrefix = "base_model.model.";
const factors = ["lora_A", "lora_B"] as const;
type Factor = (typeof factors)[number];

/** Matrices of no linear layer. */
const tables = new Set(["decoder.embed.weight", "vision.position"]);

/** A folder with an adapter and without a model, such as PEFT and runs with adapters write. */
export async function isAdapterFolder(folder: string): Promise<boolean> {
  const has = (file: string) => isReadable(join(folder, file));
  return (await has(adapterFileNames.config)) && !(await has(checkpointFiles.config));
}

/** @throws CheckpointError FILE_MISSING, FILE_INVALID */
export async function readAdapterConfig(folder: string): Promise<AdapterConfig> {
  const path = join(folder, adapterFileNames.config);
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw missingFile(path, "the settings of an adapter", cause);
  });
  return parseJson(path, bytes, adapterConfig);
}

/**
 * Folder of the model that an adapter is for, as its settings name it: absolute, or relative to the working directory.
 *
 * @throws CheckpointError FILE_MISSING where that is no model folder
 */
export async function adapterBase(folder: string): Promise<string> {
  const { baseModel } = await readAdapterConfig(folder);
  const base = resolve(baseModel ?? "");
  if (baseModel !== null && (await isReadable(join(base, checkpointFiles.config)))) return base;
  throw new CheckpointError(
    "FILE_MISSING",
    join(folder, adapterFileNames.config),
    `base_model_name_or_path: expected the folder of the model that the adapter is for, received ${JSON.stringify(baseModel)}, ` +
      `where there is no ${checkpointFiles.config}; write there where the model lies`,
  );
}

/** An adapter's tensors, checked against the model that it is for. */
export interface Adapter {
  readonly config: AdapterConfig;
  /** Path of the tensors. */
  readonly file: string;
  /** Its two factors' names in the file, by the canonical name of the weight that it adds to. */
  readonly weights: ReadonlyMap<string, Readonly<Record<Factor, string>>>;
}

/**
 * Reads an adapter in any layout of the family. What PEFT would let pass without a word is an error: keys of no module of the model, and
 * modules that `target_modules` names without keys.
 *
 * @throws CheckpointError FILE_MISSING, FILE_INVALID; FILES_DISAGREE with all tensors that are unexpected, missing, misshaped or there
 *   under names of two layouts
 */
export async function readAdapter(folder: string, spec: ModelSpec, layout: TensorLayout): Promise<Adapter> {
  const config = await readAdapterConfig(folder);
  const file = join(folder, adapterFileNames.weights);
  if (!(await isReadable(file))) throw missingFile(file, "the adapter's tensors");
  const { tensors } = await readTensorList(file).catch((error: Error) => {
    throw new CheckpointError("FILE_INVALID", file, error.message, { cause: error });
  });
  const matrices = layout.tensors.filter(({ parameter }) => parameter === null || !tables.has(parameter));
  const known = new Map(matrices.map(({ name, shape }) => [name, shape]));
  const weights = new Map<string, Partial<Record<Factor, string>>>();
  const problems: string[] = [];
  for (const { name, shape } of tensors) {
    const [, path, factor] = /^base_model\.model\.(.+)\.(lora_[AB])\.weight$/.exec(name) ?? [];
    const weight = path === undefined ? null : layout.canonicalName(`${path}.weight`);
    const [outputs, inputs, ...others] = (weight !== null && known.get(weight)) || [];
    if (outputs === undefined || inputs === undefined || others.length > 0) {
      problems.push(`unexpected: ${name} (${shape.join(", ")})`);
      continue;
    }
    const found = weights.get(weight!) ?? {};
    weights.set(weight!, found);
    const expected = factor === "lora_A" ? [config.rank, inputs] : [outputs, config.rank];
    if (found[factor as Factor] !== undefined)
      problems.push(`twice: ${name} is ${found[factor as Factor]} of another layout`);
    else if (expected.join() !== shape.join())
      problems.push(`misshaped: ${name} is (${shape.join(", ")}), expected (${expected.join(", ")})`);
    found[factor as Factor] = name;
  }
  for (const [weight, found] of weights) {
    for (const factor of factors)
      if (found[factor] === undefined) problems.push(`missing: ${keyPrefix}${adapterKey(weight, factor)}`);
  }
  for (const layer of linearLayers(spec, layout)) {
    const weight = `${layer.paths[0]}.weight`;
    if (!weights.has(weight) && config.targets(layer))
      problems.push(`missing: ${keyPrefix}${adapterKey(weight, "lora_A")}, as target_modules has it`);
  }
  if (weights.size === 0 && problems.length === 0) problems.push("missing: any tensor of an adapter");
  if (problems.length > 0) {
    const list = problems.map((problem) => `\n  ${problem}`).join("");
    throw new CheckpointError(
      "FILES_DISAGREE",
      file,
      `the tensors are not those of an adapter of this model:${list}`,
    );
  }
  return { config, file, weights: weights as Adapter["weights"] };
}

const adapterKey = (weight: string, factor: Factor) => weight.replace(/weight$/, `${factor}.weight`);

/**
 * What the engine takes of an adapter.
 *
 * @returns `layers`: those that it has adapters for; `names`: tensor by parameter; `ignored`: tensors for weights that the engine does not
 *   compute with
 * @throws CheckpointError FILES_DISAGREE for a weight that the engine computes with but has no adapters for
 */
export function engineAdapter(
  { file, weights }: Adapter,
  spec: ModelSpec,
  layout: TensorLayout,
): { layers: LinearLayer[]; names: Record<string, string>; ignored: string[] } {
  const parameterOf = new Map(layout.tensors.map(({ name, parameter }) => [name, parameter]));
  const layerOf = new Map(linearLayers(spec, layout).map((layer) => [`${layer.name}.weight`, layer]));
  const layers: LinearLayer[] = [];
  const names: Record<string, string> = {};
  const ignored: string[] = [];
  const foreign: string[] = [];
  for (const [weight, found] of weights) {
    const parameter = parameterOf.get(weight);
    const layer = parameter == null ? undefined : layerOf.get(parameter);
    if (layer !== undefined) {
      layers.push(layer);
      for (const factor of factors) names[`${layer.name}.${factor}.weight`] = found[factor];
    } else if (parameter === null) {
      ignored.push(found.lora_A, found.lora_B);
    } else {
      foreign.push(weight);
    }
  }
  if (foreign.length > 0) {
    throw new CheckpointError(
      "FILES_DISAGREE",
      file,
      `expected adapters of linear layers between embeddings and head, received some of ${foreign.join(", ")}; ` +
        "add them to the model with sightline merge, and load that",
    );
  }
  return { layers, names, ignored };
}

/** The file that an engine's adapters are saved to, for `Engine.save`; undefined where it has none. */
export function savedAdapter(
  folder: string,
  parameters: readonly ParameterInfo[],
  layers: readonly LinearLayer[],
): SavedTensors | undefined {
  const held = new Set(parameters.map(({ name }) => name));
  const names: Record<string, string> = {};
  for (const { name, paths } of layers) {
    for (const factor of factors) {
      const parameter = `${name}.${factor}.weight`;
      // PEFT maps only part of the hub's names to modules, and leaves adapters that it does not find at zero.
      if (held.has(parameter)) names[parameter] = `${keyPrefix}${paths[1] ?? paths[0]}.${factor}.weight`;
    }
  }
  if (Object.keys(names).length === 0) return undefined;
  return { file: join(folder, adapterFileNames.weights), names };
}

/** Writes `adapter_config.json`. */
export async function writeAdapterConfig(folder: string, adapter: WrittenAdapter): Promise<void> {
  await writeFile(join(folder, adapterFileNames.config), adapterConfigText(adapter));
}
