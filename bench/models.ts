/** The models that are measured, and engines that hold them. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readCheckpoint } from "../src/models/checkpoint.js";
import type { TinyVlmSpec } from "../src/models/families/tiny-vlm.js";
import { Engine } from "../src/native/engine.js";
import type { ModelSpec } from "../src/native/model-spec.js";
import type { Precision } from "../src/native/types.js";
import { modelFolder } from "../src/train/load-policy.js";
import type { Peaks } from "./results.js";
import type { BenchContext } from "./suite.js";

export const precisions: readonly Precision[] = ["fp32", "bf16"];

const textModels = {
  /** 6.8 M parameters: small enough that framework overhead shows. */
  "decoder-7m": {
    vision: null,
    projector: null,
    decoder: {
      vocabularySize: 1024,
      width: 256,
      layers: 6,
      heads: 8,
      keyValueHeads: 8,
      headSize: 32,
      mlpWidth: 1024,
      qkvBias: false,
      tiedHead: false,
      normEpsilon: 1e-5,
      ropeTheta: 10_000,
      ropeSections: null,
      embeddingScale: 1,
      maxPositions: 512,
    },
    valueHead: { hiddenWidths: [8], trunkGradientScale: 0 },
    imageTokenId: null,
    endTokenId: 1023,
  },
  /** The shape of the small language models that people fine-tune, with an untied head. */
  "decoder-135m": {
    vision: null,
    projector: null,
    decoder: {
      vocabularySize: 49_152,
      width: 576,
      layers: 30,
      heads: 9,
      keyValueHeads: 3,
      headSize: 64,
      mlpWidth: 1536,
      qkvBias: false,
      tiedHead: false,
      normEpsilon: 1e-5,
      ropeTheta: 10_000,
      ropeSections: null,
      embeddingScale: 1,
      maxPositions: 1024,
    },
    valueHead: { hiddenWidths: [8], trunkGradientScale: 0 },
    imageTokenId: null,
    endTokenId: 49_151,
  },
} as const satisfies Record<string, ModelSpec>;

export type ModelName = keyof typeof textModels | "tiny-vlm";

export async function modelSpec(name: ModelName): Promise<ModelSpec> {
  return name === "tiny-vlm" ? tinyVlmSpec() : textModels[name];
}

export async function tinyVlmSpec(): Promise<TinyVlmSpec> {
  return (await readCheckpoint(modelFolder("tiny-vlm"))).spec as TinyVlmSpec;
}

/** A model with its weights in a file, so that peers compute with the same numbers. */
export interface PreparedModel {
  readonly name: ModelName;
  readonly spec: ModelSpec;
  /** A safetensors file as `Engine.save` writes it. */
  readonly weights: string;
}

/** Random weights of a model, the same in every run, in which no greedy response ever ends by itself. */
export async function prepareModel(
  { folder, threads }: BenchContext,
  name: ModelName,
): Promise<PreparedModel> {
  const spec = await modelSpec(name);
  const weights = join(folder, `${name}.safetensors`);
  const engine = await Engine.create({ model: spec, threads, seed: 1 });
  try {
    await engine.save({ model: weights });
  } finally {
    engine.dispose();
  }
  await silenceEndToken(weights, spec);
  return { name, spec, weights };
}

/** Zeroes the end token's row of the head: its logit is 0, below the largest of many random ones. */
async function silenceEndToken(file: string, { decoder, endTokenId }: ModelSpec): Promise<void> {
  const bytes = await readFile(file);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerBytes)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const rowBytes = decoder.width * Float32Array.BYTES_PER_ELEMENT;
  const start = 8 + headerBytes + header["decoder.head.weight"]!.data_offsets[0] + endTokenId * rowBytes;
  bytes.fill(0, start, start + rowBytes);
  await writeFile(file, bytes);
}

/** An engine with the prepared weights. The caller disposes it. @throws SightlineError */
export async function openEngine(
  { threads, cpu }: BenchContext,
  { spec, weights }: PreparedModel,
  precision: Precision,
): Promise<Engine> {
  const engine = await Engine.create({ model: spec, threads, cpu, precision });
  try {
    await engine.load({ model: weights });
  } catch (error) {
    engine.dispose();
    throw error;
  }
  return engine;
}

/** Floating-point operations per second that matrix products of this precision can reach. */
export function peakFlops(peaks: Peaks, precision: Precision): number {
  const peak = precision === "bf16" ? peaks.bf16GflopsPerSecond : null;
  return 1e9 * (peak ?? peaks.fp32GflopsPerSecond);
}
