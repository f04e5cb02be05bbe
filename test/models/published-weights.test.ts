import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TensorLayout } from "../../src/models/families/family.js";
import { publishedWeights, readValueHead, savePublished } from "../../src/models/published-weights.js";
import type { Engine } from "../../src/native/engine.js";
import type { EngineOptions } from "../../src/native/types.js";
import { type FileTensor, readTensorFile, tensorOf } from "../io/tensor-file.js";
import { createTinyEngine, tinySpec as spec } from "../native/tiny-engine.js";
import { randomTensors, writeModel } from "./model-folders.js";

/** Names for the tiny engine's parameters as a published family might have them, with an encoder layer that is not used. */
const hubName = (parameter: string) =>
  parameter
    .replace(
      /^decoder\.layers\.(\d+)\.attention\.([qkv])\./,
      "language_model.model.layers.$1.self_attn.$2_proj.",
    )
    .replace(/^decoder\./, "language_model.model.")
    .replace(/^vision\./, "vision_tower.vision_model.")
    .replace(/^projector\./, "multi_modal_projector.");

let scratch: string;
let engines: Engine[] = [];
let layout: TensorLayout;
let model: { spec: typeof spec; layout: TensorLayout; base: string };
let base: Record<string, FileTensor>;

beforeEach(async () => {
  scratch = mkdtempSync(join(tmpdir(), "sightline-published-"));
  const parameters = (await open()).parameters().filter(({ component }) => component !== "value_head");
  layout = {
    tensors: [
      // As a convolution is stored.
      ...parameters.map(({ name, shape }) => ({
        name: hubName(name),
        shape: name === "vision.patch_embed.weight" ? [8, 3, 4, 4] : shape,
        parameter: name,
      })),
      { name: "vision_tower.vision_model.layers.1.norm1.weight", shape: [8], parameter: null },
    ],
    copies: { "language_model.lm_head.weight": "language_model.model.embed.weight" },
    canonicalName: (name) =>
      name === "position_ids" ? null : name.replace(/^model\.language_model\./, "language_model.model."),
  };
  base = randomTensors(layout, "BF16");
  base.position_ids = tensorOf("I64", [4], new BigInt64Array(4));
  base["language_model.lm_head.weight"] = base["language_model.model.embed.weight"]!;
  model = { spec, layout, base: join(scratch, "base") };
  writeModel(model.base, { model_type: "x" }, base, 2);
});
afterEach(() => {
  for (const engine of engines) engine.dispose();
  engines = [];
  rmSync(scratch, { recursive: true });
});

async function open(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await createTinyEngine(options);
  engines.push(engine);
  return engine;
}

async function numbersOf(engine: Engine): Promise<Map<string, string>> {
  const path = join(scratch, "numbers.safetensors");
  await engine.save({ model: path });
  return new Map([...readTensorFile(path)].map(([name, { bytes }]) => [name, bytes.toString("base64")]));
}

/** Weights that no file holds. */
async function scramble(engine: Engine, seed: number): Promise<void> {
  const other = await open({ seed });
  const path = join(scratch, "other.safetensors");
  await other.save({ model: path });
  await engine.load({ model: path });
}

const lora = { rank: 2, alpha: 4, dropout: 0 };
const loraOptions = { trainable: { vision: "frozen", projector: "all", decoder: "lora" }, lora } as const;

describe("a published model", () => {
  test("loads from its own files, whatever the value head", async () => {
    const engine = await open({ seed: 3 });
    const fresh = await numbersOf(engine);
    await engine.load({ model: await publishedWeights(model, model.base) });
    const loaded = await numbersOf(engine);
    expect(loaded.get("value_head.layers.0.weight")).toBe(fresh.get("value_head.layers.0.weight"));
    const { bytes } = base[hubName("decoder.layers.0.attention.q.weight")]!;
    const widened = Uint32Array.from(new Uint16Array(new Uint8Array(bytes).buffer), (half) => half << 16);
    expect(loaded.get("decoder.layers.0.attention.q.weight")).toBe(
      Buffer.from(widened.buffer).toString("base64"),
    );
  });

  test("that was trained whole is saved as its own files are, and comes back bit for bit", async () => {
    const engine = await open({ seed: 3, trainable: { vision: "frozen" } });
    await engine.load({ model: await publishedWeights(model, model.base) });
    const vision = await numbersOf(engine);
    await scramble(engine, 5);
    // A frozen component has the numbers that it was loaded with.
    const folder = join(scratch, "saved");
    expect(await savePublished(engine, model, undefined, folder, true)).toBe("whole");
    const index = JSON.parse(readFileSync(join(folder, "model.safetensors.index.json"), "utf8"));
    const files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    expect([...new Set<string>(Object.values(index.weight_map))].sort()).toEqual(files);
    const saved = new Map(files.flatMap((file) => [...readTensorFile(join(folder, file))]));
    expect([...saved.keys()].sort()).toEqual(Object.keys(index.weight_map));
    // The head was a copy of embeddings that have been trained since.
    expect([...saved.keys(), "language_model.lm_head.weight"].sort()).toEqual(Object.keys(base).sort());
    for (const [name, tensor] of saved) {
      const isTrained = /^(language_model|multi_modal)/.test(name);
      expect(tensor.shape, name).toEqual(base[name]!.shape);
      expect(tensor.dtype, name).toBe(isTrained ? "F32" : base[name]!.dtype);
      if (!isTrained) expect(tensor.bytes.equals(base[name]!.bytes), name).toBe(true);
    }
    expect(existsSync(join(folder, "optimizer.safetensors"))).toBe(true);
    expect(await readValueHead(folder)).toEqual(spec.valueHead);

    const expected = await numbersOf(engine);
    for (const [name, numbers] of vision) if (name.startsWith("vision.")) expected.set(name, numbers);
    const again = await open({ seed: 9, trainable: { vision: "frozen" } });
    await again.load({
      model: await publishedWeights(model, folder),
      optimizer: join(folder, "optimizer.safetensors"),
    });
    expect(await numbersOf(again)).toEqual(expected);
    // The next checkpoint takes what is frozen from this one.
    await savePublished(again, { ...model, base: folder }, undefined, join(scratch, "next"), false);
    const next = await open({ seed: 11, trainable: { vision: "frozen" } });
    await next.load({ model: await publishedWeights(model, join(scratch, "next")) });
    expect(await numbersOf(next)).toEqual(expected);
  });

  test("that was trained with adapters is saved as these, what was trained whole beside them", async () => {
    const engine = await open({ seed: 3, ...loraOptions });
    await engine.load({ model: await publishedWeights(model, model.base) });
    const before = await numbersOf(engine);
    // Other adapters, another projector and value head than the base or a fresh engine has.
    const other = await numbersOf(await open({ seed: 4, ...loraOptions }));
    const isTrained = (name: string) => /^(value_head|projector)\.|\.lora_[AB]\./.test(name);
    const path = join(scratch, "trained.safetensors");
    await engine.save({ model: path });
    const mixed = Object.fromEntries(
      [...readTensorFile(path)].map(([name, tensor]) => [
        name,
        isTrained(name) ? { ...tensor, bytes: Buffer.from(other.get(name)!, "base64") } : tensor,
      ]),
    );
    writeModel(join(scratch, "mixed"), {}, mixed);
    await engine.load({ model: join(scratch, "mixed", "model.safetensors") });
    const expected = await numbersOf(engine);
    expect(expected).not.toEqual(before);

    const folder = join(scratch, "saved");
    expect(await savePublished(engine, model, lora, folder, true)).toBe("adapter");
    expect(existsSync(join(folder, "model.safetensors"))).toBe(false);
    const keys = [...readTensorFile(join(folder, "adapter_model.safetensors")).keys()];
    expect(keys).toContain("base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight");
    expect(keys).toHaveLength(2 * 7);
    expect(readTensorFile(join(folder, "trained.safetensors")).size).toBe(4);
    const config = JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"));
    expect(config).toMatchObject({ r: 2, lora_alpha: 4, base_model_name_or_path: model.base });

    const again = await open({ seed: 9, ...loraOptions });
    await again.load({
      model: await publishedWeights(model, folder),
      optimizer: join(folder, "optimizer.safetensors"),
    });
    expect(await numbersOf(again)).toEqual(expected);
  });

  test("refuses weights beside an adapter that are not the model's", async () => {
    const engine = await open({ seed: 3, ...loraOptions });
    const folder = join(scratch, "saved");
    await savePublished(engine, model, lora, folder, false);
    writeModel(join(scratch, "x"), {}, { other: tensorOf("F32", [1], new Float32Array(1)) });
    const { copyFileSync } = await import("node:fs");
    copyFileSync(join(scratch, "x", "model.safetensors"), join(folder, "trained.safetensors"));
    await expect(publishedWeights(model, folder)).rejects.toMatchObject({
      code: "FILES_DISAGREE",
      message: expect.stringContaining("expected tensors of this model, received other (1)"),
    });
  });
});
