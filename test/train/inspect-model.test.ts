import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { inspectModel, type TrainingChoice } from "../../src/train/inspect-model.js";
import {
  llava16Mistral,
  mappingOf,
  randomTensors,
  smallTiedLlama,
  writeModel,
  writeSparseFile,
} from "../models/model-folders.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sightline-inspect-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const frame = { width: 300, height: 300 };
const whole: TrainingChoice = { frozen: [], lora: [], rank: 128 };

function writeLlava(): void {
  writeFileSync(join(folder, "config.json"), JSON.stringify(llava16Mistral));
  const processor = {
    image_processor_type: "LlavaNextImageProcessor",
    size: { shortest_edge: 336 },
    crop_size: { height: 336, width: 336 },
  };
  writeFileSync(join(folder, "preprocessor_config.json"), JSON.stringify(processor));
  writeSparseFile(join(folder, "model.safetensors"), mappingOf(llava16Mistral).layout, "F16");
}

describe("inspectModel of LLaVA-1.6 with Mistral-7B, of which only the headers are there", () => {
  test("counts every parameter and byte, and takes no memory for them", async () => {
    writeLlava();
    const { size, blocks } = statSync(join(folder, "model.safetensors"));
    expect(size).toBeGreaterThan(15e9);
    expect(512 * blocks).toBeLessThan(2e6);
    await inspectModel(folder, frame, whole);
    const before = process.memoryUsage().rss;
    const inspection = await inspectModel(folder, frame, whole);
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
    expect(inspection).toMatchObject({
      family: "llava_next",
      files: 1,
      parameters: {
        // Of 303 507 456 in the tower, what the 24th block and the norm behind it hold.
        vision: 303_507_456 - 12_598_272,
        projector: 20_979_712 + 4096,
        decoder: 7_242_256_384,
        value_head: 0,
        unused: 12_598_272,
        total: 7_566_747_648,
      },
      bytes: { F16: 2 * 7_566_747_648 },
      image: { width: 300, height: 300, tokens: 1176 },
      adapter: null,
    });
    const { vision, projector, decoder, unused, total } = inspection.parameters;
    expect(vision + projector + decoder + unused).toBe(total);
  });

  test("counts what would be trained: RL4VLM's adapters of rank 128 in the decoder, and its value head", async () => {
    writeLlava();
    const { trained } = await inspectModel(folder, frame, {
      frozen: ["vision", "projector"],
      lora: ["decoder"],
      rank: 128,
    });
    expect(trained).toEqual({
      vision: 0,
      projector: 0,
      decoder: 335_544_320,
      value_head: 4_720_641,
      total: 340_264_961,
    });
    const queries = await inspectModel(folder, frame, {
      frozen: ["vision"],
      lora: ["decoder"],
      modules: ".*q_proj",
      rank: 1,
    });
    expect(queries.trained).toMatchObject({ decoder: 32 * 8192, projector: 20_983_808, vision: 0 });
    const all = await inspectModel(folder, frame, whole);
    expect(all.trained.total).toBe(7_566_747_648 - 12_598_272 + 4_720_641);
  });
});

describe("inspectModel", () => {
  test("counts a tied head once, and a run's adapter", async () => {
    const { layout } = mappingOf(smallTiedLlama);
    const base = join(folder, "base");
    writeModel(base, smallTiedLlama, randomTensors(layout, "BF16"), 2);
    const layers = 2 * (16 + 16 * 16 + 2 * 16 * 8 + 16 * 16 + 16 + 3 * 16 * 24);
    const { parameters, files, image, bytes, trained } = await inspectModel(base, frame, whole);
    expect(parameters).toMatchObject({
      decoder: 32 * 16 + layers + 16,
      unused: 0,
      total: 32 * 16 + layers + 16,
    });
    expect({ files, image, bytes }).toEqual({ files: 2, image: null, bytes: { BF16: 2 * parameters.total } });
    expect(trained.decoder).toBe(parameters.total);

    const adapter = join(folder, "adapter");
    mkdirSync(adapter);
    const settings = {
      peft_type: "LORA",
      r: 2,
      lora_alpha: 4,
      target_modules: ["q_proj"],
      base_model_name_or_path: base,
    };
    writeFileSync(join(adapter, "adapter_config.json"), JSON.stringify(settings));
    const { tensorOf, writeTensorFile } = await import("../io/tensor-file.js");
    const factors = [0, 1].flatMap((i) =>
      (["lora_A", "lora_B"] as const).map((factor) => {
        const shape = factor === "lora_A" ? [2, 16] : [16, 2];
        return [
          `base_model.model.model.layers.${i}.self_attn.q_proj.${factor}.weight`,
          tensorOf("F32", shape, new Float32Array(32)),
        ] as const;
      }),
    );
    writeTensorFile(join(adapter, "adapter_model.safetensors"), Object.fromEntries(factors));
    const ofAdapter = await inspectModel(adapter, frame, whole);
    expect(ofAdapter).toMatchObject({
      folder: base,
      adapter: { rank: 2, alpha: 4, layers: 2, parameters: 128 },
    });
  });

  test("counts the model that ships, value head included", async () => {
    const tiny = fileURLToPath(new URL("../../assets/tiny-vlm", import.meta.url));
    const { parameters, trained, image } = await inspectModel(tiny, frame, {
      frozen: ["vision"],
      lora: [],
      rank: 1,
    });
    const { vision, projector, decoder, value_head, total } = parameters;
    expect(vision + projector + decoder + value_head).toBe(total);
    expect(trained).toEqual({
      vision: 0,
      projector,
      decoder,
      value_head,
      total: projector + decoder + value_head,
    });
    expect(image?.tokens).toBeGreaterThan(0);
  });

  test("lists the tensors that are not those of config.json", async () => {
    const { layout } = mappingOf(smallTiedLlama);
    const { "model.norm.weight": norm, ...tensors } = randomTensors(layout);
    writeModel(folder, smallTiedLlama, {
      ...tensors,
      "model.layers.2.mlp.up_proj.weight": norm!,
      "model.language_model.norm.weight": { ...norm!, shape: [4, 4] },
    });
    const error = await inspectModel(folder, frame, whole).catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ code: "FILES_DISAGREE" });
    expect((error as Error).message).toContain("unexpected: model.layers.2.mlp.up_proj.weight (16)");
  });
});
