/**
 * Counted floating-point operations: what the mathematics needs, a multiply-add as two. Recomputation, padding and
 * work on rows that feed nothing do not count; norms, activations and softmax are left out, as is usual.
 */
import type { ModelSpec } from "../src/native/model-spec.js";

/** One sequence as the decoder sees it, in tokens. */
export interface SequenceLengths {
  /** Image tokens included. */
  readonly prompt: number;
  readonly response: number;
  readonly images: number;
}

/** Weights of one decoder layer that multiply each of its rows, up to and after attention. */
function layerWeights({ decoder }: ModelSpec): { qkv: number; after: number } {
  const { width, heads, keyValueHeads, headSize, mlpWidth } = decoder;
  return {
    qkv: width * (heads + 2 * keyValueHeads) * headSize,
    after: width * heads * headSize + 3 * width * mlpWidth,
  };
}

/** Weights that one token of decoding multiplies: all layers and the head, not the embedding. */
export function weightsPerToken(model: ModelSpec): number {
  const { qkv, after } = layerWeights(model);
  return model.decoder.layers * (qkv + after) + model.decoder.vocabularySize * model.decoder.width;
}

/** Forward pass that scores the response tokens. The last layer is needed only for rows that feed a log-prob. */
export function scoreFlops(model: ModelSpec, { prompt, response, images }: SequenceLengths): number {
  const { decoder } = model;
  const { qkv, after } = layerWeights(model);
  const rows = prompt + response - 1;
  // Row t sees t keys; scores and weighted sum take 2 * headSize each per visible pair and head.
  const attention = (first: number) => 4 * decoder.heads * decoder.headSize * pairs(first, rows);
  const layers =
    (decoder.layers - 1) * (2 * rows * (qkv + after) + attention(0)) +
    2 * rows * qkv +
    2 * response * after +
    attention(prompt - 1);
  return layers + 2 * response * decoder.vocabularySize * decoder.width + images * imageFlops(model);
}

/** Forward and backward: a backward pass is two products for each of the forward's. */
export function trainFlops(model: ModelSpec, sequences: readonly SequenceLengths[]): number {
  return 3 * sequences.reduce((sum, sequence) => sum + scoreFlops(model, sequence), 0);
}

/** Causal pairs (query, key) of the queries in rows [first, rows). */
function pairs(first: number, rows: number): number {
  return (rows * (rows + 1) - first * (first + 1)) / 2;
}

/** Vision encoder and projector of one image. */
function imageFlops({ vision, projector, decoder }: ModelSpec): number {
  if (vision === null) return 0;
  if (vision.kind !== "fixed_resolution" || !projector?.hiddenWidth || projector.mergeSize !== 1)
    throw new RangeError(
      "expected a model with views of one size and a projector of two layers that merges nothing",
    );
  const tokens = (vision.imageSize / vision.patchSize) ** 2;
  const patch = vision.channels * vision.patchSize ** 2 * vision.width;
  const layer = 4 * vision.width ** 2 + 2 * vision.width * vision.mlpWidth;
  const project = projector.hiddenWidth * (vision.width + decoder.width);
  const attention = vision.layers * 4 * vision.width * tokens ** 2;
  return 2 * tokens * (patch + vision.layers * layer + project) + attention;
}
