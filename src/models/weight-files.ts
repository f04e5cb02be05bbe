import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { readTensorList } from "../native/tensor-files.js";
import type { TensorDescription, TensorList } from "../native/tensor-types.js";
import { CheckpointError } from "./checkpoint-error.js";
import { isReadable } from "./checkpoint-files.js";

/** Names of a model's weights: one file, or several with an index that says which holds what. */
export const weightFileNames = {
  single: "model.safetensors",
  index: "model.safetensors.index.json",
} as const;

/** A tensor and the file that holds it. */
export interface StoredTensor extends TensorDescription {
  /** Path. */
  readonly file: string;
}

/** What the headers of a model's weights say. */
export interface WeightFiles {
  readonly folder: string;
  /** Paths and what else their headers hold, in order of name. */
  readonly files: readonly { readonly path: string; readonly metadata: TensorList["metadata"] }[];
  /** By name, as the files have it. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Content of the index; undefined for a model of one file. */
  readonly index: z.output<typeof indexFile> | undefined;
}

const indexFile = z.looseObject({
  weight_map: z.record(z.string(), z.string(), { error: "expected the file of each tensor" }),
});

/**
 * Reads the headers of a model folder's weights; the tensors are not read.
 *
 * @throws CheckpointError FILE_MISSING where there are neither weights nor an index; FILE_INVALID with everything that is wrong with the
 *   index and the files: entries that are no file of this folder, files that are missing or broken, tensors that are not where the index
 *   says or in two files
 */
export async function readWeightFiles(folder: string): Promise<WeightFiles> {
  const single = join(folder, weightFileNames.single);
  if (await isReadable(single)) return readShards(folder, [weightFileNames.single], undefined, single);
  const path = join(folder, weightFileNames.index);
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    const expected = `expected the model's weights, as this file or as ${weightFileNames.index} with its shards, found none`;
    throw new CheckpointError("FILE_MISSING", single, expected, { cause });
  });
  const index = parseIndex(path, text);
  const shards = [...new Set(Object.values(index.weight_map))].sort();
  const outside = shards.filter((shard) => !/^[^/\\\0]+\.safetensors$/.test(shard));
  if (outside.length > 0) {
    throw invalid(
      path,
      outside.map(
        (shard) =>
          `weight_map: expected names of .safetensors files of this folder, received ${JSON.stringify(shard)}`,
      ),
    );
  }
  return readShards(folder, shards, index, path);
}

/** @param path what messages name first */
async function readShards(
  folder: string,
  shards: readonly string[],
  index: WeightFiles["index"],
  path: string,
): Promise<WeightFiles> {
  const problems: string[] = [];
  const files: { path: string; metadata: TensorList["metadata"] }[] = [];
  const tensors = new Map<string, StoredTensor>();
  for (const shard of shards) {
    const file = join(folder, shard);
    try {
      const list = await readTensorList(file);
      files.push({ path: file, metadata: list.metadata });
      for (const tensor of list.tensors) {
        const other = tensors.get(tensor.name);
        if (other === undefined) tensors.set(tensor.name, { ...tensor, file });
        else problems.push(`${quote(tensor.name)} is in two files, ${basename(other.file)} and ${shard}`);
      }
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  const read = new Set(files.map((file) => file.path));
  for (const [name, shard] of Object.entries(index?.weight_map ?? {})) {
    const file = join(folder, shard);
    // Of a file that could not be read enough has been said.
    if (read.has(file) && tensors.get(name)?.file !== file)
      problems.push(`weight_map: ${quote(name)} is not in ${shard}`);
  }
  if (problems.length > 0) throw invalid(path, problems);
  return { folder, files, tensors, index };
}

function parseIndex(path: string, text: string): z.output<typeof indexFile> {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError("FILE_INVALID", path, "expected JSON", { cause });
  }
  const result = indexFile.safeParse(content);
  if (result.success) return result.data;
  throw invalid(
    path,
    result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`),
  );
}

function invalid(path: string, problems: readonly string[]): CheckpointError {
  const list = problems.length === 1 ? problems[0]! : problems.map((problem) => `\n  ${problem}`).join("");
  return new CheckpointError("FILE_INVALID", path, list);
}

const quote = (name: string) => JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}...` : name);
