/** What a model folder holds, counted from the headers of its files. */
import { adapterBase, engineAdapter, isAdapterFolder, readAdapter } from "../models/adapter-files.js";
import type { CheckpointTensor } from "../models/families/family.js";
import { imageTokenCount } from "../models/image-tokens.js";
import { linearLayers } from "../models/linear-layers.js";
import { type ModelConfig, readImageProcessor, readModelConfig } from "../models/model-config.js";
import { readValueHead } from "../models/published-weights.js";
import { mapTensors } from "../models/tensor-mapping.js";
import { readWeightFiles, type WeightFiles } from "../models/weight-files.js";
import type { ModelSpec } from "../native/model-spec.js";
import type { Component, ImageSize } from "../native/types.js";
import { chosenAdapters } from "../policy/engine-adapters.js";

/** Components in the order in which a model computes; `unused`: what files hold without effect on the model. */
export type Part = Component | "unused";
export const parts: readonly Part[] = ["vision", "projector", "decoder", "value_head", "unused"];

/** What would be trained. */
export interface TrainingChoice {
  readonly frozen: readonly Component[];
  /** Components with adapters, and the pattern of their layers. */
  readonly lora: readonly Component[];
  readonly modules?: string | undefined;
  readonly rank: number;
}

export interface Inspection {
  /** Folder of the model: the one asked for, or that which its adapter names. */
  readonly folder: string;
  /** `model_type` of `config.json`. */
  readonly family: string;
  readonly spec: ModelSpec;
  readonly files: number;
  /** Elements of all tensors that hold something learned, by part. The value head counts where the files hold one. */
  readonly parameters: Readonly<Record<Part | "total", number>>;
  /** Of the files' tensors, by the type that they are stored in, such as "BF16". */
  readonly bytes: Readonly<Record<string, number>>;
  /** Tokens that a frame takes in the decoder; null for a model of text alone, or without the settings of an image processor. */
  readonly image: (ImageSize & { readonly tokens: number }) | null;
  /** Parameters that a run would train, by component; the value head always is. */
  readonly trained: Readonly<Record<Component | "total", number>>;
  /** The folder's adapter, where it has one. */
  readonly adapter: {
    readonly rank: number;
    readonly alpha: number;
    readonly layers: number;
    readonly parameters: number;
  } | null;
}

/**
 * Counts a model's parameters and bytes exactly, and what a run would train of it. The tensors themselves are not read.
 *
 * @param folder of a model, or of an adapter that names the folder of its model
 * @throws CheckpointError where a file is missing or broken, or the tensors are not those of the model; LoraModulesError
 */
export async function inspectModel(
  folder: string,
  size: ImageSize,
  choice: TrainingChoice,
): Promise<Inspection> {
  const isAdapter = await isAdapterFolder(folder);
  const base = isAdapter ? await adapterBase(folder) : folder;
  const model = await readModelConfig(base);
  const valueHead = await readValueHead(folder);
  const spec = valueHead === undefined ? model.spec : { ...model.spec, valueHead };
  const weights = await readWeightFiles(base);
  const tensors = modelTensors(model, weights);
  const bytes: Record<string, number> = {};
  for (const tensor of weights.tensors.values())
    bytes[tensor.dtype] = (bytes[tensor.dtype] ?? 0) + tensor.bytes;
  return {
    folder: base,
    family: model.modelType,
    spec,
    files: weights.files.length,
    parameters: countParameters(tensors),
    bytes,
    image: await imageTokens(base, spec, size),
    trained: countTrained({ ...model, spec }, tensors, choice),
    adapter: isAdapter ? await describeAdapter(folder, model) : null,
  };
}

/** The tensors that hold something learned. @throws CheckpointError */
function modelTensors({ layout }: ModelConfig, weights: WeightFiles): CheckpointTensor[] {
  if (layout === null) {
    return [...weights.tensors.values()].map(({ name, shape }) => ({ name, shape, parameter: name }));
  }
  const { byCanonicalName } = mapTensors(layout, weights);
  return layout.tensors.filter(({ name }) => byCanonicalName.has(name));
}

const componentOf = (parameter: string) => parameter.slice(0, parameter.indexOf(".")) as Component;
const elements = (shape: readonly number[]) => shape.reduce((product, extent) => product * extent, 1);

function countParameters(tensors: readonly CheckpointTensor[]): Record<Part | "total", number> {
  const counts = { vision: 0, projector: 0, decoder: 0, value_head: 0, unused: 0, total: 0 };
  for (const { shape, parameter } of tensors) {
    counts[parameter === null ? "unused" : componentOf(parameter)] += elements(shape);
    counts.total += elements(shape);
  }
  return counts;
}

function countTrained(
  { spec, layout }: Pick<ModelConfig, "spec" | "layout">,
  tensors: readonly CheckpointTensor[],
  { frozen, lora, modules, rank }: TrainingChoice,
): Record<Component | "total", number> {
  const counts = { vision: 0, projector: 0, decoder: 0, value_head: 0, total: 0 };
  const add = (component: Component, count: number) => {
    counts[component] += count;
    counts.total += count;
  };
  const trainable = Object.fromEntries(lora.map((component) => [component, "lora"] as const));
  const settings = { rank, alpha: rank, ...(modules !== undefined && { modules }) };
  const { lora: chosen } = chosenAdapters(
    { spec, layout },
    { trainable, ...(lora.length > 0 && { lora: settings }) },
  );
  const adapted = new Set(chosen?.modules ?? linearLayers(spec, layout).map(({ name }) => name));
  for (const { shape, parameter } of tensors) {
    if (parameter === null || parameter.includes(".lora_")) continue;
    const component = componentOf(parameter);
    if (component === "value_head" || frozen.includes(component)) continue;
    if (!lora.includes(component)) add(component, elements(shape));
    else if (parameter.endsWith(".weight") && adapted.has(parameter.slice(0, -".weight".length)))
      add(component, rank * (shape[0]! + shape[1]!));
  }
  const widths = [spec.decoder.width, ...spec.valueHead.hiddenWidths, 1];
  for (let i = 1; i < widths.length; i++) add("value_head", (widths[i - 1]! + 1) * widths[i]!);
  return counts;
}

async function imageTokens(folder: string, spec: ModelSpec, size: ImageSize): Promise<Inspection["image"]> {
  if (spec.vision === null || spec.projector === null) return null;
  const processor = await readImageProcessor(folder);
  if (processor === undefined) return null;
  const { width, height } = size;
  const image = processor.process({ width, height, data: new Uint8Array(width * height * 3) });
  return { width, height, tokens: imageTokenCount(image, spec.vision.patchSize * spec.projector.mergeSize) };
}

async function describeAdapter(
  folder: string,
  { spec, layout }: ModelConfig,
): Promise<Inspection["adapter"]> {
  if (layout === null) return null;
  const adapter = await readAdapter(folder, spec, layout);
  const { rank, alpha } = adapter.config;
  const shapeOf = new Map(layout.tensors.map(({ name, shape }) => [name, shape]));
  const counts = [...adapter.weights.keys()].map((weight) => {
    const [outputs, inputs] = shapeOf.get(weight)!;
    return rank * (outputs! + inputs!);
  });
  // What the engine cannot take is said now, not when a run begins.
  engineAdapter(adapter, spec, layout);
  return { rank, alpha, layers: counts.length, parameters: counts.reduce((sum, count) => sum + count, 0) };
}
