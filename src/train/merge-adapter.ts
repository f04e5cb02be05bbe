/** Adds a low-rank adapter to the weights of its model. */
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { type Adapter, isAdapterFolder, readAdapter } from "../models/adapter-files.js";
import { CheckpointError } from "../models/checkpoint-error.js";
import { checkpointFiles, isReadable } from "../models/checkpoint-files.js";
import type { TensorLayout } from "../models/families/family.js";
import { readModelConfig } from "../models/model-config.js";
import { readTrained, runFileNames } from "../models/published-weights.js";
import { mapTensors } from "../models/tensor-mapping.js";
import { readWeightFiles, type StoredTensor } from "../models/weight-files.js";
import { copyTensors } from "../native/tensor-files.js";
import type { TensorCopy } from "../native/tensor-types.js";

/** What was merged. */
export interface Merged {
  /** Matrices that the adapter has been added to. */
  readonly updated: number;
  /** Tensors that were trained whole and replace those of the model. */
  readonly replaced: number;
  /** Tensors that are as they were. */
  readonly copied: number;
  /** Of all tensors. */
  readonly bytes: number;
}

/**
 * Writes a model that computes what a model with an adapter does: W + s B A in fp32, rounded to the type in which W is stored, s being
 * alpha / r. All other tensors and files are copied byte for byte, in the same shards; weights in other formats than safetensors, which
 * would be those of before, are left out. A run's value head comes along.
 *
 * @param base folder of the model; what the adapter's settings call it does not matter
 * @param adapter folder in the layout of PEFT, of a run or of others
 * @param out must not exist, or be empty; it appears when it is complete
 * @throws CheckpointError where `out` is taken, or a folder or a file is not what it must be; SightlineError IO
 */
export async function mergeAdapter(base: string, adapter: string, out: string): Promise<Merged> {
  await requireFree(out);
  const { spec, layout, modelType } = await readModelConfig(base);
  if (layout === null) {
    throw new CheckpointError(
      "FILES_DISAGREE",
      base,
      `expected a model whose adapters lie in files of their own, received one of the family ${modelType}, whose checkpoints hold them`,
    );
  }
  if (!(await isAdapterFolder(adapter)) && (await isReadable(join(adapter, checkpointFiles.config)))) {
    throw new CheckpointError(
      "FILES_DISAGREE",
      adapter,
      "expected a folder with an adapter, received one with a whole model",
    );
  }
  const weights = await readWeightFiles(base);
  const { byCanonicalName } = mapTensors(layout, weights);
  const update = updates(await readAdapter(adapter, spec, layout), byCanonicalName);
  const replacement = await replacements(layout, adapter, byCanonicalName);
  const temporary = `${resolve(out)}.incomplete-${process.pid}`;
  await mkdir(temporary, { recursive: true });
  try {
    for (const { path, metadata } of weights.files) {
      const tensors: TensorCopy["tensors"] = [...weights.tensors.values()]
        .filter((tensor) => tensor.file === path)
        .map(({ name, file }) => ({
          name,
          source: { name, file },
          ...replacement.get(name),
          ...update.get(name),
        }));
      await copyTensors({ file: join(temporary, basename(path)), tensors, metadata });
    }
    await copyOthers(base, temporary, new Set(weights.files.map(({ path }) => basename(path))));
    for (const file of [runFileNames.valueHead, runFileNames.valueHeadConfig, checkpointFiles.imageSettings])
      if (await isReadable(join(adapter, file))) await copyFile(join(adapter, file), join(temporary, file));
    await mkdir(dirname(resolve(out)), { recursive: true });
    await rename(temporary, resolve(out));
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return {
    updated: update.size,
    replaced: replacement.size,
    copied: weights.tensors.size - update.size - replacement.size,
    bytes: [...weights.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

async function requireFree(out: string): Promise<void> {
  if (!existsSync(out) || ((await stat(out)).isDirectory() && (await readdir(out)).length === 0)) return;
  throw new CheckpointError(
    "FOLDER_TAKEN",
    out,
    "expected a folder that does not exist yet, received one with files in it",
  );
}

type Change = Partial<TensorCopy["tensors"][number]>;

/** By the name of the tensor in the model's files. */
function updates(
  { file, config, weights }: Adapter,
  stored: ReadonlyMap<string, StoredTensor>,
): Map<string, Change> {
  const scale = config.alpha / config.rank;
  return new Map(
    [...weights].map(([weight, { lora_A, lora_B }]) => {
      const tensor = stored.get(weight);
      if (tensor === undefined) {
        throw new CheckpointError(
          "FILES_DISAGREE",
          file,
          `expected adapters of tensors that the model has, received some of ${weight}`,
        );
      }
      return [tensor.name, { update: { a: { file, name: lora_A }, b: { file, name: lora_B }, scale } }];
    }),
  );
}

/** Tensors that were trained whole beside the adapter, in the types of the model's. */
async function replacements(
  layout: TensorLayout,
  folder: string,
  stored: ReadonlyMap<string, StoredTensor>,
): Promise<Map<string, Change>> {
  const trained = await readTrained(layout, folder);
  return new Map(
    (trained?.tensors ?? []).map(({ name }) => {
      const { name: own, dtype } = stored.get(name)!;
      const type = dtype === "BF16" || dtype === "F16" ? dtype : "F32";
      return [own, { source: { name, file: trained!.file }, type }];
    }),
  );
}

/** Weights that are not among the model's files: of other formats, or of a run's state. */
const otherWeights =
  /\.(safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack|onnx|npz)$|\.(bin|h5|msgpack)\.index\.json$/;

async function copyOthers(from: string, to: string, written: ReadonlySet<string>): Promise<void> {
  for (const file of await readdir(from)) {
    if (written.has(file) || otherWeights.test(file)) continue;
    const path = join(from, file);
    if ((await stat(path)).isFile()) await copyFile(path, join(to, file));
  }
}
