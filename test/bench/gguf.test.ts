import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { writeGguf } from "../../bench/peers/gguf.mjs";
import { Engine } from "../../src/native/engine.js";
import type { ModelSpec } from "../../src/native/model-spec.js";
import { readSafetensors } from "../golden/safetensors.js";
import { type FloatTensor, native } from "../io/native-safetensors.js";
import { tinySpec } from "../native/tiny-engine.js";
import { temporaryFolder } from "../train/temporary-folder.js";
import { type GgufFile, readGguf } from "./gguf-reader.js";

/** Every size differs from the others, so that none can stand for another. */
const spec: ModelSpec = {
  ...tinySpec,
  endTokenId: 47,
  decoder: {
    vocabularySize: 48,
    width: 20,
    layers: 2,
    heads: 6,
    keyValueHeads: 2,
    headSize: 8,
    mlpWidth: 28,
    qkvBias: false,
    tiedHead: false,
    normEpsilon: 1e-3,
    ropeTheta: 500,
    ropeSections: null,
    embeddingScale: 3,
    maxPositions: 200,
  },
};
const { vocabularySize, width, layers, heads, keyValueHeads, headSize, mlpWidth } = spec.decoder;

async function newEngine(): Promise<Engine> {
  const engine = await Engine.create({ model: spec, threads: 2, seed: 7 });
  onTestFinished(() => engine.dispose());
  return engine;
}

/** The model's file with all weights zero, but for one tensor. */
async function writeModel(file: string, given: FloatTensor): Promise<void> {
  const engine = await newEngine();
  const tensors = engine.parameters().map(({ name, shape }) => {
    return name === given.name ? given : { name, shape, data: new Float32Array(elements(shape)) };
  });
  native.writeSafetensors(file, tensors, {});
}

const elements = (shape: readonly number[]) => shape.reduce((a, b) => a * b);

type Precision = Parameters<typeof writeGguf>[0]["precision"];

/** A saved model and the same as GGUF. */
async function converted(precision: Precision) {
  const folder = temporaryFolder();
  const source = path.join(folder, "model.safetensors");
  const target = path.join(folder, "model.gguf");
  const engine = await newEngine();
  await engine.save({ model: source });
  writeGguf({ source, target, model: spec, precision });
  return { engine, source, target, gguf: readGguf(target), weights: readSafetensors(source) };
}

function tensor(gguf: GgufFile, name: string): Uint8Array<ArrayBuffer> {
  const { dimensions, type, offset } = gguf.tensors.find((entry) => entry.name === name)!;
  const bytes = elements(dimensions) * (type === 0 ? 4 : 2);
  return new Uint8Array(gguf.data.subarray(offset, offset + bytes));
}

const fp32 = (gguf: GgufFile, name: string) => new Float32Array(tensor(gguf, name).buffer);

describe("the file", () => {
  test("has the metadata of the model", async () => {
    const { gguf } = await converted("fp32");
    expect(gguf.version).toBe(3);
    expect(gguf.metadata).toEqual({
      "general.architecture": "llama",
      "general.file_type": 0,
      "llama.vocab_size": 48,
      "llama.context_length": 200,
      "llama.embedding_length": 20,
      "llama.block_count": 2,
      "llama.feed_forward_length": 28,
      "llama.attention.head_count": 6,
      "llama.attention.head_count_kv": 2,
      "llama.attention.key_length": 8,
      "llama.attention.value_length": 8,
      "llama.attention.layer_norm_rms_epsilon": Math.fround(1e-3),
      "llama.rope.dimension_count": 8,
      "llama.rope.freq_base": 500,
      "tokenizer.ggml.model": "none",
    });
  });

  test.each([
    ["fp32", 0, 0, 4],
    ["fp16", 1, 1, 2],
    ["bf16", 30, 32, 2],
  ] as const)(
    "%s: has all tensors, the matrices of type %i, one after the other at multiples of 32 bytes",
    async (precision, type, fileType, elementBytes) => {
      const { gguf } = await converted(precision);
      const [q, kv] = [heads * headSize, keyValueHeads * headSize];
      const matrix = (name: string, rows: number, columns: number) => ({
        name,
        dimensions: [columns, rows],
        type,
      });
      const norm = (name: string) => ({ name, dimensions: [width], type: 0 });
      const expected = [
        matrix("token_embd.weight", vocabularySize, width),
        ...Array.from({ length: layers }, (_, i) => [
          norm(`blk.${i}.attn_norm.weight`),
          matrix(`blk.${i}.attn_q.weight`, q, width),
          matrix(`blk.${i}.attn_k.weight`, kv, width),
          matrix(`blk.${i}.attn_v.weight`, kv, width),
          matrix(`blk.${i}.attn_output.weight`, width, q),
          norm(`blk.${i}.ffn_norm.weight`),
          matrix(`blk.${i}.ffn_gate.weight`, mlpWidth, width),
          matrix(`blk.${i}.ffn_up.weight`, mlpWidth, width),
          matrix(`blk.${i}.ffn_down.weight`, width, mlpWidth),
        ]).flat(),
        norm("output_norm.weight"),
        matrix("output.weight", vocabularySize, width),
      ];
      let offset = 0;
      const placed = expected.map((entry) => {
        const start = offset;
        const bytes = elements(entry.dimensions) * (entry.type === 0 ? 4 : elementBytes);
        offset = Math.ceil((start + bytes) / 32) * 32;
        return { ...entry, offset: start };
      });
      expect(gguf.tensors).toEqual(placed);
      expect(gguf.data.length).toBe(offset);
      expect(gguf.metadata["general.file_type"]).toBe(fileType);
    },
  );
});

describe("the weights", () => {
  test("are the model's, the embeddings scaled", async () => {
    const { gguf, weights } = await converted("fp32");
    expect(fp32(gguf, "token_embd.weight")).toEqual(weights.get("decoder.embed.weight")!.map((x) => x * 3));
    for (const [name, source] of [
      ["blk.1.attn_norm", "layers.1.norm1"],
      ["blk.1.attn_v", "layers.1.attention.v"],
      ["blk.1.attn_output", "layers.1.attention.out"],
      ["blk.1.ffn_norm", "layers.1.norm2"],
      ["blk.1.ffn_gate", "layers.1.mlp.gate"],
      ["blk.1.ffn_up", "layers.1.mlp.up"],
      ["blk.1.ffn_down", "layers.1.mlp.down"],
      ["output_norm", "norm"],
      ["output", "head"],
    ] as const) {
      expect(fp32(gguf, `${name}.weight`), name).toEqual(weights.get(`decoder.${source}.weight`)!);
    }
  });

  test.each(["q", "k"])(
    "of %s rotate as pairs of neighbours to what they rotate to as halves",
    async (part) => {
      const { gguf, weights } = await converted("fp32");
      const rows = part === "q" ? heads * headSize : keyValueHeads * headSize;
      const hidden = Float64Array.from({ length: width }, (_, i) => Math.sin(i + 1));
      const project = (matrix: ArrayLike<number>) =>
        Array.from({ length: rows }, (_, row) =>
          hidden.reduce((sum, x, column) => sum + x * matrix[row * width + column]!, 0),
        );
      const halves = project(weights.get(`decoder.layers.0.attention.${part}.weight`)!);
      const pairs = project(fp32(gguf, `blk.0.attn_${part}.weight`));
      const half = headSize / 2;
      for (let head = 0; head < rows; head += headSize) {
        for (let k = 0; k < half; ++k) {
          const rotated = rotate(halves[head + k]!, halves[head + half + k]!, k);
          expect(rotate(pairs[head + 2 * k]!, pairs[head + 2 * k + 1]!, k)).toEqual(rotated);
        }
      }
      function rotate(a: number, b: number, k: number): [number, number] {
        const angle = 11 * spec.decoder.ropeTheta ** ((-2 * k) / headSize);
        return [a * Math.cos(angle) - b * Math.sin(angle), b * Math.cos(angle) + a * Math.sin(angle)];
      }
    },
  );

  test.each([
    // [value, fp16, bf16]
    [1, 0x3c00, 0x3f80],
    [-0, 0x8000, 0x8000],
    // Halfway between two neighbours: to the even one, down and up.
    [1 + 2 ** -11, 0x3c00, 0x3f80],
    [1 + 3 * 2 ** -11, 0x3c02, 0x3f80],
    [1 + 2 ** -8, 0x3c04, 0x3f80],
    [1 + 3 * 2 ** -8, 0x3c0c, 0x3f82],
    [-(1 + 2 ** -8 + 2 ** -20), 0xbc04, 0xbf81],
    // A carry into the exponent.
    [2 - 2 ** -20, 0x4000, 0x4000],
    // fp16: largest, and halfway to the number after it; normal and subnormal, down to half of the smallest.
    [65504, 0x7bff, 0x4780],
    [65519.996, 0x7bff, 0x4780],
    [65520, 0x7c00, 0x4780],
    [-1e30, 0xfc00, 0xf14a],
    [2 ** -14, 0x0400, 0x3880],
    [2 ** -14 - 2 ** -25, 0x0400, 0x3880],
    [2 ** -15, 0x0200, 0x3800],
    [3 * 2 ** -25, 0x0002, 0x33c0],
    [2 ** -25, 0x0000, 0x3300],
    [2 ** -25 + 2 ** -40, 0x0001, 0x3300],
    [1e-40, 0x0000, 0x0001],
    [Number.POSITIVE_INFINITY, 0x7c00, 0x7f80],
    [Number.NaN, 0x7e00, 0x7fc0],
  ])("round %f to the nearest", async (value, fp16, bf16) => {
    const folder = temporaryFolder();
    const source = path.join(folder, "model.safetensors");
    const shape = [vocabularySize, width];
    const data = new Float32Array(elements(shape)).fill(value);
    await writeModel(source, { name: "decoder.head.weight", shape, data });
    for (const [precision, expected] of [
      ["fp16", fp16],
      ["bf16", bf16],
    ] as const) {
      const target = path.join(folder, precision);
      writeGguf({ source, target, model: spec, precision });
      const bits = new Uint16Array(tensor(readGguf(target), "output.weight").buffer);
      expect(
        [...new Set(bits)].map((x) => x.toString(16)),
        precision,
      ).toEqual([expected.toString(16)]);
    }
  });
});

describe("refuses", () => {
  const convert = (source: string, precision: Precision = "fp32") =>
    writeGguf({ source, target: `${source}.gguf`, model: spec, precision });

  test("a precision it does not know", () => {
    expect(() => convert("nowhere", "q4_0" as Precision)).toThrow(
      'precision: expected one of fp32, fp16, bf16, received "q4_0"',
    );
  });

  test("weights of another shape, missing weights, and a file cut short", async () => {
    const source = path.join(temporaryFolder(), "model.safetensors");
    await writeModel(source, { name: "decoder.norm.weight", shape: [3], data: new Float32Array(3) });
    expect(() => convert(source)).toThrow(
      /expected decoder.norm.weight as F32 of shape \(20\), received F32 of shape \(3\)/,
    );
    native.writeSafetensors(source, [], {});
    expect(() => convert(source)).toThrow(/expected decoder.embed.weight as F32.*received no such tensor/);
    writeFileSync(source, Buffer.of(9, 0, 0));
    expect(() => convert(source)).toThrow("source: expected 5 more bytes, the file ends");
  });
});

// Where llama.cpp is installed, its greedy tokens show that it reads the file as it was meant.
test.skipIf(!process.env.SIGHTLINE_BENCH_LLAMA)("llama.cpp decodes the same tokens", async () => {
  const { engine, source } = await converted("fp32");
  const prompts = [[5, 17, 9, 33, 12], [3, 40], Array.from({ length: 60 }, (_, i) => 3 + ((i * 7) % 40))];
  const ours = await Promise.all(
    prompts.map((prompt) =>
      engine.generate({
        prompt: { tokens: Int32Array.from(prompt), images: [] },
        sampling: { temperature: 0 },
        randomKey: [1, 2],
        maxNewTokens: 8,
      }),
    ),
  );
  const settings = {
    model: spec,
    weights: source,
    prompts,
    newTokens: 4,
    precision: "fp32",
    variant: "eager",
  };
  const requests = [
    { op: "hello", threads: 1 },
    { op: "open", case: "decode", settings },
    { op: "check", handle: 1 },
    { op: "run", handle: 1 },
    { op: "check", handle: 1 },
    { op: "memory", handle: 1 },
    { op: "close", handle: 1 },
  ];
  const script = path.resolve(import.meta.dirname, "..", "..", "bench", "peers", "llama-peer.mjs");
  const input = requests.map((request) => `${JSON.stringify(request)}\n`).join("");
  const { stdout, status } = spawnSync(process.execPath, [script], { input, encoding: "utf8" });
  const values = { tokens: ours.map(({ tokens }) => [...tokens]) };
  expect(
    stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { name: "llama.cpp", version: expect.any(String), threads: 1 },
    { handle: 1 },
    { values },
    { seconds: expect.any(Number) },
    { values },
    { peakBytes: expect.any(Number) },
    {},
  ]);
  expect(status).toBe(0);
});
