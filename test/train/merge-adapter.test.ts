import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { linearLayers } from "../../src/models/linear-layers.js";
import { readWeightFiles } from "../../src/models/weight-files.js";
import { mergeAdapter } from "../../src/train/merge-adapter.js";
import {
  type FileTensor,
  floatsOf,
  readTensorFile,
  tensorOf,
  toBfloat16,
  writeTensorFile,
} from "../io/tensor-file.js";
import { mappingOf, randomTensors, smallLlavaNext, writeModel } from "../models/model-folders.js";

const { spec, layout } = mappingOf(smallLlavaNext);
const queries = linearLayers(spec, layout).filter(({ name }) => /^decoder.*\.q$/.test(name));
const shapeOf = new Map(layout.tensors.map(({ name, shape }) => [name, shape]));

let scratch: string;
let base: string;
let adapter: string;
let out: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "sightline-merge-"));
  [base, adapter, out] = ["base", "adapter", "out"].map((name) => join(scratch, name)) as [
    string,
    string,
    string,
  ];
});
afterEach(() => rmSync(scratch, { recursive: true }));

/** Exact in fp32 and, as sums of few small multiples of 1/4, in bfloat16. */
const quarters = (count: number, offset: number) =>
  Float32Array.from({ length: count }, (_, i) => ((i + offset) % 5) / 4 - 0.5);

function writeAdapter(config: Record<string, unknown> = {}): Record<string, FileTensor> {
  mkdirSync(adapter);
  const tensors = Object.fromEntries(
    queries.flatMap(({ paths: [path] }, i) => [
      [`base_model.model.${path}.lora_A.weight`, tensorOf("F32", [2, 16], quarters(32, i))],
      [`base_model.model.${path}.lora_B.weight`, tensorOf("F32", [16, 2], quarters(32, 3 * i + 1))],
    ]),
  );
  writeTensorFile(join(adapter, "adapter_model.safetensors"), tensors);
  const settings = {
    peft_type: "LORA",
    r: 2,
    lora_alpha: 4,
    target_modules: ".*language_model.*q_proj",
    ...config,
  };
  writeFileSync(join(adapter, "adapter_config.json"), JSON.stringify(settings));
  return tensors;
}

const widened = ({ bytes }: FileTensor) =>
  new Float32Array(
    Uint32Array.from(new Uint16Array(new Uint8Array(bytes).buffer), (half) => half << 16).buffer,
  );

describe("mergeAdapter", () => {
  test("adds s B A to the adapted matrices and leaves all else as it is, in the same shards", async () => {
    const tensors = randomTensors(layout, "BF16");
    tensors["vision_tower.vision_model.embeddings.position_ids"] = tensorOf("I64", [5], new BigInt64Array(5));
    writeModel(base, smallLlavaNext, tensors, 3);
    writeFileSync(join(base, "tokenizer.json"), "{ }");
    writeFileSync(join(base, "pytorch_model.bin"), "old");
    writeFileSync(join(base, "pytorch_model.bin.index.json"), "{}");
    mkdirSync(join(base, "original"));
    const factors = writeAdapter();
    writeFileSync(join(adapter, "value_head.json"), "{}");
    expect(await mergeAdapter(base, adapter, out)).toMatchObject({
      updated: 2,
      replaced: 0,
      copied: Object.keys(tensors).length - 2,
    });

    const shards = [1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`);
    const others = ["config.json", "model.safetensors.index.json", "tokenizer.json", "value_head.json"];
    expect(readdirSync(out).sort()).toEqual([...others, ...shards].sort());
    for (const file of others.slice(0, 3))
      expect(readFileSync(join(out, file), "utf8")).toBe(readFileSync(join(base, file), "utf8"));
    for (const shard of shards) {
      const [before, after] = [base, out].map((folder) => readTensorFile(join(folder, shard)));
      expect([...after!.keys()].sort()).toEqual([...before!.keys()].sort());
      for (const [name, tensor] of after!) {
        const layer = queries.find(({ paths }) => `${paths[0]}.weight` === name);
        if (layer === undefined) {
          expect(tensor, name).toEqual(before!.get(name));
          continue;
        }
        const [a, b] = ["lora_A", "lora_B"].map((factor) =>
          floatsOf(factors[`base_model.model.${layer.paths[0]}.${factor}.weight`]!),
        );
        const expected = widened(before!.get(name)!).map((w, i) => {
          const [row, column] = [Math.floor(i / 16), i % 16];
          return toBfloat16(
            Math.fround(w + 2 * (b![2 * row]! * a![column]! + b![2 * row + 1]! * a![16 + column]!)),
          );
        });
        expect([...widened(tensor)], name).toEqual([...expected]);
      }
    }
    expect((await readWeightFiles(out)).tensors.size).toBe(Object.keys(tensors).length);
    expect(readdirSync(scratch).sort()).toEqual(["adapter", "base", "out"]);
  });

  test("honours use_rslora, and takes over weights that were trained whole, in the stored type", async () => {
    writeModel(base, smallLlavaNext, randomTensors(layout, "BF16"));
    writeAdapter({ use_rslora: true, lora_alpha: 2 * Math.SQRT2 });
    const name = "multi_modal_projector.linear_1.bias";
    const trained = Float32Array.from(
      shapeOf.get(name)![0] === 16 ? { length: 16 } : [],
      (_, i) => 1 + i / 1000,
    );
    writeTensorFile(join(adapter, "trained.safetensors"), { [name]: tensorOf("F32", [16], trained) });
    expect(await mergeAdapter(base, adapter, out)).toMatchObject({ updated: 2, replaced: 1 });
    const merged = readTensorFile(join(out, "model.safetensors"));
    expect(merged.get(name)!.dtype).toBe("BF16");
    expect([...widened(merged.get(name)!)]).toEqual([...trained].map(toBfloat16));
    // alpha / sqrt(r) is 2, as alpha / r is in the test above.
    rmSync(out, { recursive: true });
    rmSync(adapter, { recursive: true });
    writeAdapter({ lora_alpha: 4 });
    await mergeAdapter(base, adapter, out);
    const query = `${queries[0]!.paths[0]}.weight`;
    expect(readTensorFile(join(out, "model.safetensors")).get(query)).toEqual(merged.get(query));
  });

  test("refuses a folder that is taken, and leaves nothing behind where it fails", async () => {
    writeModel(base, smallLlavaNext, randomTensors(layout, "F16"));
    writeAdapter();
    mkdirSync(out);
    writeFileSync(join(out, "mine"), "");
    await expect(mergeAdapter(base, adapter, out)).rejects.toMatchObject({ code: "FOLDER_TAKEN", path: out });
    expect(readdirSync(out)).toEqual(["mine"]);
    rmSync(out, { recursive: true });
    writeFileSync(join(adapter, "adapter_model.safetensors"), "nonsense");
    await expect(mergeAdapter(base, adapter, out)).rejects.toMatchObject({ code: "FILE_INVALID" });
    await expect(mergeAdapter(base, base, out)).rejects.toMatchObject({
      code: "FILES_DISAGREE",
      message: expect.stringContaining("a whole model"),
    });
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(scratch).sort()).toEqual(["adapter", "base"]);
  });

  test("refuses the family whose checkpoints hold their adapters", async () => {
    const tiny = new URL("../../assets/tiny-vlm", import.meta.url).pathname;
    await expect(mergeAdapter(tiny, adapter, out)).rejects.toMatchObject({
      message: expect.stringContaining("tiny-vlm"),
    });
  });
});
