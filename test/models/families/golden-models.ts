/** The tiny models that test/golden/make_models.py writes, and what Transformers and PEFT compute with them. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Checkpoint, findWeights, readCheckpoint } from "../../../src/models/checkpoint.js";
import type { ImageSettings } from "../../../src/models/image-settings.js";
import { PromptMaker } from "../../../src/models/prompts.js";
import { Engine } from "../../../src/native/engine.js";
import type { EngineOptions, ForwardResult, Prompt, Sequence } from "../../../src/native/types.js";
import { type AdapterOptions, engineAdapters } from "../../../src/policy/engine-adapters.js";
import { imagePattern } from "../../golden/image-pattern.js";
import { readSafetensors } from "../../golden/safetensors.js";

/**
 * The most that log-probs may err, of the largest one: about ten times what two orders of the same float32 sums differ by in models
 * of this size.
 */
export const LOG_PROB_TOLERANCE = 1e-5;
/** The most that a tensor's gradient may err, of its length, by the same measure. */
export const GRADIENT_TOLERANCE = 2e-5;

export interface GoldenPrompt {
  text: string;
  /** Width and height of each. */
  frames: [number, number][];
  settings: ImageSettings;
  tokens: number[];
  /** Hash of each frame's pixel values. */
  pixels: string[];
  response: number[];
}

export interface GoldenModel {
  folder: string;
  cases: GoldenPrompt[];
  greedy: { tokens: number[]; gaps: number[] };
  expected: Map<string, Float32Array | Float64Array>;
}

export const goldenNames = [
  "llava",
  "llava-next",
  "llava-next-vicuna",
  "llama-tied",
  "mistral",
  "qwen2",
  "smolvlm",
  "qwen2-5-vl",
] as const;
export type GoldenName = (typeof goldenNames)[number];

export function goldenModel(name: GoldenName): GoldenModel {
  const folder = fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url));
  const { cases, greedy } = JSON.parse(readFileSync(join(folder, "case.json"), "utf8"));
  return { folder, cases, greedy, expected: readSafetensors(join(folder, "expected.safetensors")) };
}

export type LoadOptions = AdapterOptions & Omit<Partial<EngineOptions>, "model" | "lora" | "trainable">;

/** A checkpoint in an engine of two threads, with a value head of a few numbers. */
export async function loadEngine(
  folder: string,
  { trainable = {}, lora, ...options }: LoadOptions = {},
): Promise<{ checkpoint: Checkpoint; engine: Engine }> {
  const read = await readCheckpoint(folder);
  const valueHead = { hiddenWidths: [5], trunkGradientScale: 1 };
  const checkpoint = { ...read, spec: { ...read.spec, valueHead } };
  const engine = await Engine.create({
    threads: 2,
    ...options,
    ...(await engineAdapters(checkpoint, { trainable, ...(lora && { lora }) })),
    model: checkpoint.spec,
  });
  try {
    await engine.load({ model: await findWeights(checkpoint, folder) });
  } catch (error) {
    engine.dispose();
    throw error;
  }
  return { checkpoint, engine };
}

/** The prompts of a golden model as the engine takes them: the processor's tokens, and images of our own making. */
export async function promptsOf({ cases }: GoldenModel, folder: string): Promise<Prompt[]> {
  return Promise.all(
    cases.map(async ({ tokens, frames, settings }) => {
      const maker = new PromptMaker(await readCheckpoint(folder, settings));
      const images = frames.flatMap((frame) => maker.observation(imagePattern(...frame), "?").images);
      return { tokens: Int32Array.from(tokens), images };
    }),
  );
}

/** The prompts with their responses. */
export async function sequencesOf(model: GoldenModel, folder = model.folder): Promise<Sequence[]> {
  const prompts = await promptsOf(model, folder);
  return prompts.map((prompt, i) => ({ prompt, response: Int32Array.from(model.cases[i]!.response) }));
}

/** A tensor of each prompt, one after the other. */
export function joined({ cases, expected }: GoldenModel, tensor: string): Float32Array {
  return Float32Array.from(cases.flatMap((_, i) => [...expected.get(`${tensor}.${i}`)!]));
}

/** The largest difference over the largest reference value. */
export function relativeError(received: ArrayLike<number>, reference: ArrayLike<number>): number {
  if (received.length !== reference.length) {
    throw new Error(`expected ${reference.length} values, received ${received.length}`);
  }
  const values = Array.from(reference);
  const error = Math.max(...values.map((value, i) => Math.abs(received[i]! - value)));
  const relative = error / Math.max(...values.map(Math.abs));
  return Number.isNaN(relative) ? Number.POSITIVE_INFINITY : relative;
}

/** The log-probs of every token of the vocabulary behind each prompt. */
export async function nextLogProbs(engine: Engine, prompts: readonly Prompt[], vocabulary: number) {
  const rows: Float32Array[] = [];
  for (const prompt of prompts) {
    const sequences = Array.from({ length: vocabulary }, (_, token) => ({
      prompt,
      response: Int32Array.of(token),
    }));
    rows.push((await engine.forward(sequences, { keepTape: false })).logProbs);
  }
  return rows;
}

/** Gradients of the log-probs' weighted sum, by parameter. Steps with a learning rate of zero. */
export async function gradientsOf(
  engine: Engine,
  scores: ForwardResult,
  coefficients: Float32Array,
  scratch: string,
): Promise<(parameter: string) => Float32Array | Float64Array | undefined> {
  await engine.backward(scores, { logProbs: coefficients });
  // With the first beta at zero, AdamW's first moment after a step is the gradient itself.
  const components = [...new Set(engine.parameters().map(({ component }) => component))];
  await engine.step({ groups: [{ components, learningRate: 0 }], betas: [0, 0.999] });
  const optimizer = join(scratch, "optimizer.safetensors");
  await engine.save({ model: join(scratch, "model.safetensors"), optimizer });
  const moments = readSafetensors(optimizer);
  return (parameter) => moments.get(`${parameter}.first_moment`);
}

/** The elements of a gradient that the golden file keeps: all, or every nth. */
function keptElements(gradient: ArrayLike<number>, count: number): number[] {
  const stride = [1, 7, 13, 29, 61, 113, 211].find((n) => Math.ceil(gradient.length / n) === count);
  if (stride === undefined) throw new Error(`expected ${count} kept elements of ${gradient.length}`);
  return Array.from({ length: count }, (_, i) => gradient[i * stride]!);
}

/**
 * How much gradients err, of their lengths, by parameter.
 *
 * @param prefix of their tensors in the golden file
 */
export function gradientErrors(
  { expected }: GoldenModel,
  checkpoint: Checkpoint,
  prefix: "gradient." | "adapter.gradient.",
  gradientOf: (parameter: string) => ArrayLike<number> | undefined,
): Map<string, number> {
  const compared = new Map<string, { error: number; length: number }>();
  for (const [key, reference] of expected) {
    if (!key.startsWith(prefix)) continue;
    const parameter = parameterOf(checkpoint, key.slice(prefix.length));
    const gradient = parameter === undefined ? undefined : gradientOf(parameter);
    if (parameter === undefined || gradient === undefined) throw new Error(`${key} is of no parameter`);
    const received = keptElements(gradient, reference.length);
    const error = Math.hypot(...received.map((value, i) => value - reference[i]!));
    compared.set(parameter, { error, length: Math.hypot(...reference) });
  }
  return new Map(
    Array.from(compared, ([parameter, { error, length }]) => {
      // Softmax ignores what all scores of a query share, so that without rotary positions a key's bias has no gradient: what
      // is left of it is the rounding of terms that cancelled.
      const cancels = parameter.startsWith("vision.") && parameter.endsWith("attention.k.bias");
      return [
        parameter,
        error / (cancels ? compared.get(parameter.replace("k.bias", "q.bias"))!.length : length),
      ];
    }),
  );
}

/** The parameters that golden files have gradients of, of those that are trained. */
export function comparedParameters(engine: Engine): string[] {
  const trained = engine.parameters().filter(({ trainable }) => trainable);
  return trained.flatMap(({ name, component }) => (component === "value_head" ? [] : name)).sort();
}

/**
 * The parameter that a parameter of Transformers' or PEFT's module tree is.
 *
 * @param name with lora_A or lora_B before ".weight" where it is an adapter's, and PEFT's prefix
 */
export function parameterOf({ layout }: Checkpoint, name: string): string | undefined {
  const [, path, factor, kind] = /^(?:base_model\.model\.)?(.+?)(\.lora_[AB])?\.(weight|bias)$/.exec(
    name,
  ) ?? ["", name];
  const tensor = layout!.canonicalName(kind === undefined ? path! : `${path}.${kind}`);
  const found = layout!.tensors.find((candidate) => candidate.name === tensor)?.parameter ?? undefined;
  return factor === undefined ? found : found?.replace(/\.weight$/, `${factor}.weight`);
}

/** A folder with the golden model's adapter as PEFT has saved it, which names the folder of its model. */
export function adapterFolder({ folder }: GoldenModel, scratch: string): string {
  const adapter = join(scratch, "adapter");
  mkdirSync(adapter);
  const weights = "adapter_model.safetensors";
  symlinkSync(join(folder, "adapter", weights), join(adapter, weights));
  const config = JSON.parse(readFileSync(join(folder, "adapter", "adapter_config.json"), "utf8"));
  const named = { ...config, base_model_name_or_path: folder };
  writeFileSync(join(adapter, "adapter_config.json"), JSON.stringify(named));
  return adapter;
}
