import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  adapterBase,
  engineAdapter,
  readAdapter,
  writeAdapterConfig,
} from "../../src/models/adapter-files.js";
import { CheckpointError } from "../../src/models/checkpoint-error.js";
import { fullMatch, linearLayers, matchingLayers } from "../../src/models/linear-layers.js";
import { type FileTensor, tensorOf, writeTensorFile } from "../io/tensor-file.js";
import { mappingOf, smallLlavaNext } from "./model-folders.js";

const { spec, layout } = mappingOf(smallLlavaNext);
const layers = linearLayers(spec, layout);
const rank = 2;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sightline-adapter-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The settings that every adapter has, and others. */
function writeConfig(others: Record<string, unknown> = {}): void {
  const needed = { peft_type: "LORA", r: rank, lora_alpha: 3, target_modules: ["q_proj"] };
  writeFileSync(join(folder, "adapter_config.json"), JSON.stringify({ ...needed, ...others }));
}

/** Both factors of adapters of modules, whose (out, in) is given. */
function factors(modules: Readonly<Record<string, readonly [number, number]>>): Record<string, FileTensor> {
  return Object.fromEntries(
    Object.entries(modules).flatMap(([path, [outputs, inputs]]) => [
      [
        `base_model.model.${path}.lora_A.weight`,
        tensorOf("F32", [rank, inputs], new Float32Array(rank * inputs)),
      ],
      [
        `base_model.model.${path}.lora_B.weight`,
        tensorOf("F32", [outputs, rank], new Float32Array(rank * outputs)),
      ],
    ]),
  );
}

const writeTensors = (tensors: Record<string, FileTensor>) =>
  writeTensorFile(join(folder, "adapter_model.safetensors"), tensors);

/** What reading the adapter rejects with. */
async function problem(): Promise<CheckpointError> {
  const error = await readAdapter(folder, spec, layout).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

const decoderQueries = (prefix: string) =>
  ({ [`${prefix}.0.self_attn.q_proj`]: [16, 16], [`${prefix}.1.self_attn.q_proj`]: [16, 16] }) as const;
const onlyDecoder = { target_modules: ".*language_model.*q_proj" };

describe("readAdapter", () => {
  test.each([
    ["the hub", "language_model.model.layers"],
    ["Transformers since 4.52", "model.language_model.layers"],
    ["the authors", "model.layers"],
  ])("reads the layout of %s", async (_, prefix) => {
    writeConfig({
      target_modules: `.*(language_model.*|model)\\.layers\\.\\d+\\.self_attn\\.q_proj`,
      exclude_modules: ".*vision.*",
    });
    writeTensors(factors(decoderQueries(prefix)));
    const adapter = await readAdapter(folder, spec, layout);
    expect(adapter.config).toMatchObject({ rank: 2, alpha: 3, dropout: 0, baseModel: null });
    const { layers: chosen, names, ignored } = engineAdapter(adapter, spec, layout);
    expect(chosen.map(({ name }) => name)).toEqual([
      "decoder.layers.0.attention.q",
      "decoder.layers.1.attention.q",
    ]);
    expect(names["decoder.layers.1.attention.q.lora_B.weight"]).toBe(
      `base_model.model.${prefix}.1.self_attn.q_proj.lora_B.weight`,
    );
    expect(Object.keys(names)).toHaveLength(4);
    expect(ignored).toEqual([]);
  });

  test("takes adapters of layers that the model does not compute, without using them", async () => {
    writeConfig({ target_modules: ["out_proj"] });
    const tower = "vision_tower.vision_model.encoder.layers";
    writeTensors(
      factors(
        Object.fromEntries([0, 1, 2].map((i) => [`${tower}.${i}.self_attn.out_proj`, [8, 8] as const])),
      ),
    );
    const { layers: chosen, ignored } = engineAdapter(await readAdapter(folder, spec, layout), spec, layout);
    expect(chosen.map(({ name }) => name)).toEqual([
      "vision.layers.0.attention.out",
      "vision.layers.1.attention.out",
    ]);
    expect(ignored).toEqual([
      `base_model.model.${tower}.2.self_attn.out_proj.lora_A.weight`,
      `base_model.model.${tower}.2.self_attn.out_proj.lora_B.weight`,
    ]);
  });

  test("lists every tensor that is unexpected, missing, misshaped or there twice", async () => {
    writeConfig(onlyDecoder);
    const hub = "base_model.model.language_model.model.layers";
    const tensors: Record<string, FileTensor> = {
      ...factors(decoderQueries("language_model.model.layers")),
      ...factors({
        "model.language_model.layers.0.self_attn.q_proj": [16, 16],
        "language_model.model.layers.9.self_attn.q_proj": [16, 16],
      }),
      ...factors({ "language_model.model.embed_tokens": [32, 16] }),
      [`${hub}.0.self_attn.v_proj.lora_A.weight`]: tensorOf("F32", [rank, 16], new Float32Array(32)),
      [`${hub}.0.self_attn.k_proj.lora_magnitude_vector`]: tensorOf("F32", [8], new Float32Array(8)),
      "base_model.model.score.weight": tensorOf("F32", [1], new Float32Array(1)),
    };
    tensors[`${hub}.1.self_attn.q_proj.lora_A.weight`] = tensorOf("F32", [4, 8], new Float32Array(32));
    writeTensors(tensors);
    const { code, message } = await problem();
    expect(code).toBe("FILES_DISAGREE");
    const inMemory = "base_model.model.model.language_model.layers.0.self_attn.q_proj";
    expect(message.split("\n").slice(1).sort()).toEqual(
      [
        "  unexpected: base_model.model.language_model.model.embed_tokens.lora_A.weight (2, 16)",
        "  unexpected: base_model.model.language_model.model.embed_tokens.lora_B.weight (32, 2)",
        `  unexpected: ${hub}.0.self_attn.k_proj.lora_magnitude_vector (8)`,
        `  unexpected: ${hub}.9.self_attn.q_proj.lora_A.weight (2, 16)`,
        `  unexpected: ${hub}.9.self_attn.q_proj.lora_B.weight (16, 2)`,
        "  unexpected: base_model.model.score.weight (1)",
        `  misshaped: ${hub}.1.self_attn.q_proj.lora_A.weight is (4, 8), expected (2, 16)`,
        `  twice: ${inMemory}.lora_A.weight is ${hub}.0.self_attn.q_proj.lora_A.weight of another layout`,
        `  twice: ${inMemory}.lora_B.weight is ${hub}.0.self_attn.q_proj.lora_B.weight of another layout`,
        `  missing: ${hub}.0.self_attn.v_proj.lora_B.weight`,
      ].sort(),
    );
  });

  test("misses modules that target_modules names, by a list of the last parts of paths as well", async () => {
    writeConfig({ target_modules: ["q_proj"] });
    writeTensors(factors(decoderQueries("language_model.model.layers")));
    expect((await problem()).message.split("\n").slice(1)).toEqual(
      [0, 1].map(
        (i) =>
          `  missing: base_model.model.vision_tower.vision_model.encoder.layers.${i}.self_attn.q_proj.lora_A.weight, as target_modules has it`,
      ),
    );
    writeConfig({
      target_modules: ["q_proj"],
      exclude_modules: [0, 1].map((i) => `encoder.layers.${i}.self_attn.q_proj`),
    });
    expect((await readAdapter(folder, spec, layout)).weights.size).toBe(2);
    writeConfig({ target_modules: "all-linear" });
    expect((await problem()).message.split("\n").slice(1)).toHaveLength(layers.length - 2);
  });

  test("refuses files that are no adapter", async () => {
    writeConfig({ target_modules: ["nothing"] });
    expect(await problem()).toMatchObject({
      code: "FILE_MISSING",
      path: join(folder, "adapter_model.safetensors"),
    });
    writeTensors({});
    expect((await problem()).message).toContain("missing: any tensor of an adapter");
    writeFileSync(join(folder, "adapter_model.safetensors"), "nonsense");
    expect(await problem()).toMatchObject({ code: "FILE_INVALID" });
    rmSync(join(folder, "adapter_config.json"));
    expect(await problem()).toMatchObject({
      code: "FILE_MISSING",
      path: join(folder, "adapter_config.json"),
    });
  });
});

describe("adapter_config.json", () => {
  test("scales by the root of the rank with use_rslora", async () => {
    writeConfig({ ...onlyDecoder, use_rslora: true });
    writeTensors(factors(decoderQueries("language_model.model.layers")));
    const { config } = await readAdapter(folder, spec, layout);
    // alpha / rank is 3 / sqrt(2).
    expect(config.alpha / config.rank).toBeCloseTo(3 / Math.SQRT2, 12);
  });

  test.each<[string, unknown]>([
    ["use_dora", true],
    ["use_qalora", true],
    ["fan_in_fan_out", true],
    ["lora_bias", true],
    ["bias", "all"],
    ["modules_to_save", ["lm_head"]],
    ["rank_pattern", { q_proj: 4 }],
    ["alpha_pattern", { q_proj: 4 }],
    ["layer_replication", [[0, 1]]],
    ["target_parameters", ["experts"]],
    ["trainable_token_indices", [1]],
    ["init_lora_weights", "pissa"],
    ["peft_type", "IA3"],
    ["r", 0],
    ["lora_alpha", -1],
    ["lora_dropout", 1],
    ["target_modules", null],
    ["target_modules", "(q_proj"],
  ])("refuses %s = %j, by its key", async (key, value) => {
    writeConfig({ [key]: value });
    writeTensors(factors(decoderQueries("language_model.model.layers")));
    const error = await problem();
    expect(error.code).toBe("FILE_INVALID");
    expect(error.message).toContain(`${key}: `);
  });

  test("takes unknown keys, and those that mean nothing while they are empty", async () => {
    writeConfig({
      ...onlyDecoder,
      modules_to_save: null,
      rank_pattern: {},
      use_dora: false,
      bias: "none",
      of_the_future: 1,
    });
    writeTensors(factors(decoderQueries("language_model.model.layers")));
    expect((await readAdapter(folder, spec, layout)).weights.size).toBe(2);
  });

  test("is written as PEFT writes it, with a pattern of exactly the layers under every path that they go by", async () => {
    const chosen = layers.filter(({ name }) =>
      /^(vision\.layers\.0\.mlp|projector\.up|decoder\..*attention\.[qv]$)/.test(name),
    );
    await writeAdapterConfig(folder, {
      rank: 8,
      alpha: 16,
      dropout: 0.05,
      baseModel: "/models/llava",
      layers: chosen,
    });
    const text = readFileSync(join(folder, "adapter_config.json"), "utf8");
    const content = JSON.parse(text) as Record<string, unknown> & { target_modules: string };
    expect(text).toBe(`${JSON.stringify(content, undefined, 2)}\n`);
    expect(Object.keys(content)).toEqual([
      "alpha_pattern",
      "base_model_name_or_path",
      "bias",
      "exclude_modules",
      "fan_in_fan_out",
      "inference_mode",
      "init_lora_weights",
      "layers_pattern",
      "layers_to_transform",
      "lora_alpha",
      "lora_dropout",
      "modules_to_save",
      "peft_type",
      "peft_version",
      "r",
      "rank_pattern",
      "revision",
      "target_modules",
      "task_type",
      "use_dora",
      "use_rslora",
    ]);
    expect(content).toMatchObject({
      r: 8,
      lora_alpha: 16,
      lora_dropout: 0.05,
      bias: "none",
      task_type: "CAUSAL_LM",
    });
    const isTarget = fullMatch(content.target_modules);
    for (const layer of layers) expect(layer.paths.every(isTarget), layer.name).toBe(chosen.includes(layer));
    expect(layers[0]!.paths).toContain("model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj");
    expect(isTarget("vision_tower.vision_model.encoder.layers.2.mlp.fc1")).toBe(false);
  });
});

describe("adapterBase", () => {
  test("gives the folder that the settings name, where a model is", async () => {
    writeConfig({ base_model_name_or_path: folder });
    writeFileSync(join(folder, "config.json"), "{}");
    expect(await adapterBase(folder)).toBe(folder);
  });

  test.each([null, "llava-hf/llava-1.5-7b-hf"])(
    "throws with the way out where that is %s",
    async (baseModel) => {
      writeConfig({ base_model_name_or_path: baseModel });
      await expect(adapterBase(folder)).rejects.toMatchObject({
        code: "FILE_MISSING",
        message: expect.stringContaining("write there where the model lies"),
      });
    },
  );
});

describe("matchingLayers", () => {
  const decoder = layers.filter(({ component }) => component === "decoder");

  test("matches the whole path, in any spelling, as re.fullmatch does", () => {
    const names = (pattern: string) => matchingLayers(decoder, pattern).map(({ name }) => name);
    const both = ["decoder.layers.0.attention.q", "decoder.layers.1.attention.q"];
    expect(names(".*q_proj")).toEqual(both);
    expect(names("model\\.language_model\\.layers\\.\\d\\.self_attn\\.q_proj")).toEqual(both);
    expect(names("language_model.model.layers.1.self_attn.q_proj|no such thing")).toEqual(both.slice(1));
    expect(names("(?P<all>.*)\\.q_proj")).toEqual(both);
  });

  test.each([
    [
      "q_proj",
      /of the component decoder, e\.g\. language_model\.model\.layers\.0\.self_attn\.q_proj, received "q_proj"$/,
    ],
    ["(", /a regular expression over the paths of modules, received "\("$/],
  ])("refuses %s", (pattern, message) => {
    expect(() => matchingLayers(decoder, pattern)).toThrow(message);
  });

  test("refuses a pattern that leaves a component without an adapter", () => {
    expect(() => matchingLayers(layers, ".*self_attn.*")).toThrow(
      /some linear layer of the component projector/,
    );
  });
});
