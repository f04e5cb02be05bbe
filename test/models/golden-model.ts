import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FileTensor, floatsOf, tensorOf } from "../io/tensor-file.js";
import { mappingOf, randomTensors, writeModel } from "./model-folders.js";

/**
 * Makes a folder of a small published model: what describes it as Transformers writes it, and random weights, small enough for
 * numbers to stay finite.
 *
 * @param family folder under test/golden/prompts
 * @param shards files of weights
 * @returns the tensors
 */
export function makeGoldenModel(family: string, folder: string, shards = 2): Record<string, FileTensor> {
  cpSync(fileURLToPath(new URL(`../golden/prompts/${family}`, import.meta.url)), folder, { recursive: true });
  const config: unknown = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  const wide = randomTensors(mappingOf(config).layout);
  const tensors = Object.fromEntries(
    Object.entries(wide).map(([name, tensor]) => {
      const values = floatsOf(tensor).map((value) => value / 4);
      return [name, tensorOf("F32", tensor.shape, values)];
    }),
  );
  writeModel(folder, config, tensors, shards);
  return tensors;
}
