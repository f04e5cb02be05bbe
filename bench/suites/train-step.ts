/**
 * One training step: forward, backward and AdamW over a batch in which no two sequences share a prefix. Ours takes the batch as
 * training with `ppo.microbatchSize` does, in parts whose gradients add up; peers take it whole.
 */
import { join } from "node:path";
import { inParts } from "../../src/algorithms/samples.js";
import type { Engine } from "../../src/native/engine.js";
import type { FixedResolutionSpec } from "../../src/native/model-spec.js";
import type { PixelValues, Precision, Sequence } from "../../src/native/types.js";
import { compare, memoryRows, type PeerRequest, rowsOf } from "../comparison.js";
import { trainFlops } from "../flops.js";
import {
  type ModelName,
  openEngine,
  type PreparedModel,
  peakFlops,
  precisions,
  prepareModel,
} from "../models.js";
import { source, tokens, uniforms } from "../random-inputs.js";
import type { Row } from "../results.js";
import { attempt, type BenchContext, type Suite } from "../suite.js";
import { testingAddon } from "../testing-addon.js";

/** What the sequences of a batch are made of. */
interface BatchShape {
  readonly model: ModelName;
  readonly sequences: number;
  readonly textTokens: number;
  readonly responseTokens: number;
  readonly withImage: boolean;
}

/** A prompt of one token makes as many rows of the decoder as there are response tokens. */
const shapes: readonly BatchShape[] = [
  { model: "decoder-7m", sequences: 16, textTokens: 1, responseTokens: 192, withImage: false },
  { model: "tiny-vlm", sequences: 16, textTokens: 46, responseTokens: 57, withImage: true },
  { model: "decoder-135m", sequences: 4, textTokens: 1, responseTokens: 256, withImage: false },
];

const learningRate = 1e-4;

/** Sequences per forward and backward pass: enough rows for products to be nearly as quick as in the whole batch. */
const MICROBATCH = 4;

export const trainStep: Suite = async function* (context) {
  for (const shape of shapes) {
    if (context.quick && shape.model === "decoder-135m") continue;
    const id = (precision: Precision) => `train-step/${shape.model}/${precision}`;
    const wanted = precisions.filter((precision) => context.wants(id(precision)));
    if (wanted.length === 0) continue;
    const model = await prepareModel(context, shape.model);
    const data = makeBatch(context, model, shape);
    for (const precision of wanted) {
      const measure = () => measureStep(context, id(precision), data, precision);
      yield* await attempt(id(precision), "s", measure);
    }
  }
};

/** A model with a batch for it, in our form and as peers take it. */
interface Batch {
  readonly model: PreparedModel;
  readonly sequences: readonly Sequence[];
  readonly flops: number;
  readonly settings: object;
}

function makeBatch({ folder }: BenchContext, model: PreparedModel, shape: BatchShape): Batch {
  const { spec } = model;
  const vision = shape.withImage && spec.vision?.kind === "fixed_resolution" ? spec.vision : null;
  const imageTokenId = spec.imageTokenId ?? Number.POSITIVE_INFINITY;
  const random = source(1);
  // Special tokens have the last ids; drawing below them keeps image tokens where images are.
  const ids = Math.min(imageTokenId, spec.endTokenId, spec.decoder.vocabularySize - 2);
  const imageTokens = vision === null ? 0 : (vision.imageSize / vision.patchSize) ** 2;
  const sequences = Array.from({ length: shape.sequences }, (): Sequence => {
    const text = tokens(random, shape.textTokens, ids);
    return {
      prompt: {
        tokens: Int32Array.of(...new Int32Array(imageTokens).fill(imageTokenId), ...text),
        images:
          vision === null ? [] : [{ pixels: uniforms(random, vision.channels * vision.imageSize ** 2) }],
      },
      response: tokens(random, shape.responseTokens, ids),
    };
  });
  const images = vision === null ? null : join(folder, `${model.name}-images.safetensors`);
  if (vision !== null && images !== null) {
    const pixels = sequences.map(({ prompt }) => prompt.images[0]!.pixels);
    writeImages(images, pixels, vision);
  }
  const lengths = {
    prompt: imageTokens + shape.textTokens,
    response: shape.responseTokens,
    images: shape.withImage ? 1 : 0,
  };
  return {
    model,
    sequences,
    flops: trainFlops(spec, new Array(shape.sequences).fill(lengths)),
    settings: {
      model: spec,
      weights: model.weights,
      sequences: sequences.map(({ prompt, response }, index) => ({
        prompt: [...prompt.tokens],
        response: [...response],
        image: shape.withImage ? index : null,
      })),
      images,
      learningRate,
    },
  };
}

/** One tensor `images` (I, C, H, W). */
function writeImages(path: string, images: readonly PixelValues[], vision: FixedResolutionSpec): void {
  const size = images[0]!.length;
  const data = new Float32Array(images.length * size);
  images.forEach((pixels, index) => {
    data.set(pixels, index * size);
  });
  const shape = [images.length, vision.channels, vision.imageSize, vision.imageSize];
  testingAddon.writeSafetensors(path, [{ name: "images", shape, data }], {});
}

async function measureStep(
  context: BenchContext,
  id: string,
  batch: Batch,
  precision: Precision,
): Promise<Row[]> {
  const { model, sequences, flops } = batch;
  const inFp32 = await scoreOnce(context, batch, "fp32");
  const logProbs = precision === "fp32" ? inFp32 : await scoreOnce(context, batch, precision);
  const error = largestDifference(inFp32, logProbs);
  const engine = await openEngine(context, model, precision);
  try {
    const step = () => trainTwice(engine, sequences);
    const comparison = await compare(
      step,
      peerRequests(context, batch, precision, logProbs),
      context.repeats,
    );
    const work = {
      id,
      unit: "s",
      flops,
      secondsAtPeak: flops / peakFlops(context.peaks, precision),
      ...(precision !== "fp32" && {
        note: `a log-prob differs from fp32 by at most ${error.toPrecision(2)}`,
      }),
    } as const;
    return [
      ...rowsOf(work, comparison),
      ...memoryRows(`${id}/peak-memory`, engine.memory().total.peakBytes, comparison),
    ];
  } finally {
    engine.dispose();
  }
}

/** Log-probs of all response tokens at the saved weights. */
async function scoreOnce(
  context: BenchContext,
  { model, sequences }: Batch,
  precision: Precision,
): Promise<Float32Array> {
  const engine = await openEngine(context, model, precision);
  try {
    return (await engine.forward(sequences, { keepTape: false })).logProbs;
  } finally {
    engine.dispose();
  }
}

/**
 * Two steps on the mean negative log-prob of the response tokens, as steps of training follow one another: the first finds the
 * caches as a contestant left them.
 *
 * @returns the seconds of the second
 */
async function trainTwice(engine: Engine, sequences: readonly Sequence[]): Promise<number> {
  await trainOnce(engine, sequences);
  const start = performance.now();
  await trainOnce(engine, sequences);
  return (performance.now() - start) / 1000;
}

async function trainOnce(engine: Engine, sequences: readonly Sequence[]): Promise<void> {
  const count = sequences.reduce((sum, { response }) => sum + response.length, 0);
  for (const part of inParts(sequences, MICROBATCH)) {
    const scores = await engine.forward(part);
    await engine.backward(scores, { logProbs: new Float32Array(scores.logProbs.length).fill(-1 / count) });
  }
  await engine.step({ groups: [{ components: ["vision", "projector", "decoder"], learningRate }] });
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}

/** bf16 is also compared with fp32: that is what a user without bf16 would run. */
function peerRequests(
  { peers, quick }: BenchContext,
  { settings }: Batch,
  precision: Precision,
  logProbs: Float32Array,
): PeerRequest[] {
  const variants = ["eager fp32", ...(quick ? [] : ["compile fp32"])];
  if (precision === "bf16") {
    variants.push("eager bf16", ...(quick ? [] : ["compile bf16", "bf16-weights bf16"]));
  }
  return variants.map((name) => {
    const [variant, theirPrecision] = name.split(" ") as [string, Precision];
    return {
      supply: peers.pytorch,
      variant: name,
      case: "train-step",
      settings: { ...settings, variant, precision: theirPrecision },
      disagreement: (values) => disagreement(values, logProbs, precision, theirPrecision),
    };
  });
}

/**
 * fp32: sums of some hundred terms in another order, through tens of layers; bf16: operands with 8 bits, likewise.
 * A mistake in a model moves a log-prob by far more than either.
 */
const allowedDifference = { fp32: 1e-3, bf16: 0.25 } as const;

function disagreement(
  { loss, log_probs }: Record<string, unknown>,
  logProbs: Float32Array,
  ...used: Precision[]
): string | undefined {
  const allowed = allowedDifference[used.includes("bf16") ? "bf16" : "fp32"];
  const ourLoss = -logProbs.reduce((sum, value) => sum + value, 0) / logProbs.length;
  if (typeof loss !== "number" || !(Math.abs(loss - ourLoss) <= allowed / 4)) {
    return `loss: expected ${ourLoss.toFixed(5)} within ${allowed / 4}, received ${loss}`;
  }
  if (!Array.isArray(log_probs)) return `log_probs: expected a list, received ${typeof log_probs}`;
  const wrong = log_probs.findIndex((value, i) => !(Math.abs(value - logProbs[i]!) <= allowed));
  if (wrong === -1) return undefined;
  return `log_probs[${wrong}]: expected ${logProbs[wrong]!.toFixed(5)} within ${allowed}, received ${log_probs[wrong]}`;
}
