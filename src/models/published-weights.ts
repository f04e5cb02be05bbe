/**
 * The numbers of a published model in folders: where they are read from, and how a run saves them.
 *
 * A model that is trained with adapters is saved as the adapter, in the files of PEFT, which names the folder of its model. One that is
 * trained without is saved whole, as its own files were: the same tensors under the same names, and what is not trained byte for byte.
 * The value head, which no published file has a place for, lies beside either; so do, beside an adapter, the weights of components that
 * are trained whole.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { ModelSpec } from "../native/model-spec.js";
import { copyTensors, readTensorList } from "../native/tensor-files.js";
import type { TensorCopy } from "../native/tensor-types.js";
import type { LoraSpec, ParameterInfo, SavedTensors, SaveTarget, TensorFiles } from "../native/types.js";
import {
  adapterBase,
  engineAdapter,
  isAdapterFolder,
  readAdapter,
  savedAdapter,
  writeAdapterConfig,
} from "./adapter-files.js";
import { CheckpointError } from "./checkpoint-error.js";
import { checkpointFiles, isReadable, parseJson } from "./checkpoint-files.js";
import type { CheckpointTensor, TensorLayout } from "./families/family.js";
import { linearLayers } from "./linear-layers.js";
import { mapTensors } from "./tensor-mapping.js";
import { readWeightFiles, type StoredTensor, weightFileNames } from "./weight-files.js";

/** What a run adds to the files that others have. */
export const runFileNames = {
  valueHead: "value_head.safetensors",
  valueHeadConfig: "value_head.json",
  /** Beside an adapter: weights of components that are trained whole. */
  trained: "trained.safetensors",
} as const;

/** A published model. */
export interface PublishedModel {
  readonly spec: ModelSpec;
  readonly layout: TensorLayout;
  /** Folder with the weights that are not trained. */
  readonly base: string;
}

const valueHeadConfig = z
  .strictObject({
    hidden_widths: z.array(z.int().positive()),
    trunk_gradient_scale: z.number().min(0).max(1),
  })
  .transform((file): ModelSpec["valueHead"] => ({
    hiddenWidths: file.hidden_widths,
    trunkGradientScale: file.trunk_gradient_scale,
  }));

/**
 * The value head that a folder's is made for; undefined where it has none.
 *
 * @throws CheckpointError FILE_INVALID
 */
export async function readValueHead(folder: string): Promise<ModelSpec["valueHead"] | undefined> {
  const path = join(folder, runFileNames.valueHeadConfig);
  if (!(await isReadable(path))) return undefined;
  return parseJson(path, await readFile(path), valueHeadConfig);
}

/**
 * The files of a folder's weights, for `Engine.load`: of a whole model, or of an adapter and the model that it names.
 *
 * @throws CheckpointError
 */
export async function publishedWeights(
  { spec, layout }: Omit<PublishedModel, "base">,
  folder: string,
): Promise<TensorFiles[]> {
  const isAdapter = await isAdapterFolder(folder);
  const weights = await readWeightFiles(isAdapter ? await adapterBase(folder) : folder);
  const { names, ignored, copies } = mapTensors(layout, weights);
  const groups: TensorFiles[] = [];
  const replaced = new Set<string>();
  if (isAdapter) {
    const adapter = await readAdapter(folder, spec, layout);
    groups.push({ ...engineAdapter(adapter, spec, layout), files: [adapter.file] });
    const trained = await readTrained(layout, folder);
    if (trained !== undefined) {
      const names = trained.tensors.map(({ name, parameter }) => [parameter!, name] as const);
      groups.push({ files: [trained.file], names: Object.fromEntries(names) });
      for (const [parameter] of names) replaced.add(parameter);
    }
  }
  const valueHead = join(folder, runFileNames.valueHead);
  if (await isReadable(valueHead)) {
    const { tensors } = await readTensorList(valueHead);
    groups.push({ files: [valueHead], names: Object.fromEntries(tensors.map(({ name }) => [name, name])) });
  }
  const entries = Object.entries(names);
  const base: TensorFiles = {
    files: weights.files.map(({ path }) => path),
    names: Object.fromEntries(entries.filter(([parameter]) => !replaced.has(parameter))),
    ignored: [
      ...ignored,
      ...entries.filter(([parameter]) => replaced.has(parameter)).map(([, name]) => name),
    ],
    copies,
  };
  return [base, ...groups];
}

/**
 * Weights of components that a run has trained whole, beside its adapter; undefined where there are none.
 *
 * @throws CheckpointError FILES_DISAGREE for tensors that the model's layout has not, or in other shapes
 */
export async function readTrained(
  layout: TensorLayout,
  folder: string,
): Promise<{ file: string; tensors: readonly CheckpointTensor[] } | undefined> {
  const file = join(folder, runFileNames.trained);
  if (!(await isReadable(file))) return undefined;
  const known = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
  const tensors: CheckpointTensor[] = [];
  for (const { name, shape } of (await readTensorList(file)).tensors) {
    const tensor = known.get(name);
    if (tensor === undefined || tensor.parameter === null || tensor.shape.join() !== shape.join()) {
      throw new CheckpointError(
        "FILES_DISAGREE",
        file,
        `expected tensors of this model, received ${name} (${shape.join(", ")})`,
      );
    }
    tensors.push(tensor);
  }
  return { file, tensors };
}

/** Of an engine, what saving takes. */
export interface SavingEngine {
  parameters(): readonly ParameterInfo[];
  save(target: SaveTarget): Promise<void>;
}

/** How the engine's adapters were made. */
export type AdapterSettings = Pick<LoraSpec, "rank" | "alpha" | "dropout">;

/**
 * Writes the numbers of a model to a folder, which is created where it is missing.
 *
 * @param lora undefined where the engine has no adapters
 * @param withOptimizer also write the optimizer's state
 * @returns whether the folder holds a whole model, which the files that describe it belong to
 * @throws CheckpointError where the files of what is not trained have become unusable; SightlineError IO
 */
export async function savePublished(
  engine: SavingEngine,
  model: PublishedModel,
  lora: AdapterSettings | undefined,
  folder: string,
  withOptimizer: boolean,
): Promise<"whole" | "adapter"> {
  await mkdir(folder, { recursive: true });
  const parameters = engine.parameters();
  const files: SavedTensors[] = [];
  const valueHead = parameters
    .filter(({ component }) => component === "value_head")
    .map(({ name }) => [name, name]);
  files.push({ file: join(folder, runFileNames.valueHead), names: Object.fromEntries(valueHead) });
  const { hiddenWidths, trunkGradientScale } = model.spec.valueHead;
  await writeJson(join(folder, runFileNames.valueHeadConfig), {
    hidden_widths: hiddenWidths,
    trunk_gradient_scale: trunkGradientScale,
  });
  const linear = linearLayers(model.spec, model.layout);
  const adapter = savedAdapter(folder, parameters, linear);
  const trained = parameters.filter(
    ({ name, component, trainable }) =>
      trainable && component !== "value_head" && adapter?.names[name] === undefined,
  );
  if (adapter !== undefined && lora !== undefined) {
    files.push(adapter, ...trainedBeside(model.layout, trained, folder));
    const { rank, alpha, dropout = 0 } = lora;
    const layers = linear.filter(({ name }) => adapter.names[`${name}.lora_A.weight`] !== undefined);
    await writeAdapterConfig(folder, { rank, alpha, dropout, baseModel: model.base, layers });
  } else {
    files.push(...(await saveWhole(model, trained, folder)));
  }
  await engine.save({
    model: files,
    ...(withOptimizer && { optimizer: join(folder, checkpointFiles.optimizer) }),
  });
  return adapter === undefined ? "whole" : "adapter";
}

function trainedBeside(
  layout: TensorLayout,
  trained: readonly ParameterInfo[],
  folder: string,
): SavedTensors[] {
  if (trained.length === 0) return [];
  const isTrained = new Set(trained.map(({ name }) => name));
  const tensors = layout.tensors.filter(({ parameter }) => parameter !== null && isTrained.has(parameter));
  return [
    {
      file: join(folder, runFileNames.trained),
      names: Object.fromEntries(tensors.map(({ name, parameter }) => [parameter!, name])),
      shapes: Object.fromEntries(tensors.map(({ shape, parameter }) => [parameter!, shape])),
    },
  ];
}

/** Largest file of a model in several, in bytes, unless one tensor is larger; that of Transformers. */
const shardBytes = 5e9;

/**
 * Copies what is not trained, and writes the index where there are several files.
 *
 * @returns the files that the engine is to write: trained weights, in fp32, so that a run goes on with the same numbers
 */
async function saveWhole(
  { layout, base }: PublishedModel,
  trained: readonly ParameterInfo[],
  folder: string,
): Promise<SavedTensors[]> {
  const weights = await readWeightFiles(base);
  const { names, byCanonicalName, copies } = mapTensors(layout, weights);
  const own = new Map(trained.map(({ name }) => [names[name]!, name]));
  const saved = [...byCanonicalName.values()].filter(({ name }) => own.has(name));
  // A copy of a tensor that is trained would be of its old numbers.
  const isStale = (name: string) => copies[name] !== undefined && own.has(copies[name]);
  const kept = [...weights.tensors.values()].filter(({ name }) => !own.has(name) && !isStale(name));
  const fp32Bytes = ({ shape }: StoredTensor) => 4 * shape.reduce((product, size) => product * size, 1);
  const savedShards = shards(saved, fp32Bytes);
  const keptShards = shards(kept, ({ bytes }) => bytes);
  const count = savedShards.length + keptShards.length;
  const fileName = (i: number) =>
    count === 1 ? weightFileNames.single : `model-${padded(i + 1)}-of-${padded(count)}.safetensors`;
  const targets: SavedTensors[] = savedShards.map((tensors, i) => ({
    file: join(folder, fileName(i)),
    names: Object.fromEntries(tensors.map(({ name }) => [own.get(name)!, name])),
    shapes: Object.fromEntries(tensors.map(({ name, shape }) => [own.get(name)!, shape])),
  }));
  for (const [i, tensors] of keptShards.entries()) {
    const copied: TensorCopy["tensors"] = tensors.map(({ name, file }) => ({ name, source: { name, file } }));
    const file = join(folder, fileName(savedShards.length + i));
    await copyTensors({ file, tensors: copied, metadata: [["format", "pt"]] });
  }
  if (count > 1) {
    const placed = [...savedShards, ...keptShards].flatMap((tensors, i) =>
      tensors.map(({ name }) => [name, fileName(i)] as const),
    );
    const total = [...saved.map(fp32Bytes), ...kept.map(({ bytes }) => bytes)].reduce(
      (sum, bytes) => sum + bytes,
      0,
    );
    await writeJson(join(folder, weightFileNames.index), {
      metadata: { total_size: total },
      weight_map: Object.fromEntries(placed.sort(([a], [b]) => (a < b ? -1 : 1))),
    });
  }
  return targets;
}

/** Tensors in their order, as many to a shard as fit. */
function shards(
  tensors: readonly StoredTensor[],
  bytesOf: (tensor: StoredTensor) => number,
): StoredTensor[][] {
  const result: StoredTensor[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor);
    if (result.length === 0 || bytes > room) {
      result.push([]);
      room = shardBytes;
    }
    result.at(-1)!.push(tensor);
    room -= bytes;
  }
  return result;
}

const padded = (n: number) => String(n).padStart(5, "0");

async function writeJson(path: string, content: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(content, undefined, 2)}\n`);
}
