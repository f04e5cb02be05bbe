import type { ModelSpec } from "../../src/native/model-spec.js";
import type { ImageInput, Sequence } from "../../src/native/types.js";
import { tinySpec } from "../native/tiny-engine.js";

/** A small model with options that others have not, and sequences for it. */
export interface ModelOptionsCase {
  title: string;
  model: ModelSpec;
  /** The first two share a prompt. */
  batch: Sequence[];
}

const image = tinySpec.imageTokenId;
const waves = (count: number, phase: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(1.7 * i + phase) + 0.5 * Math.cos(phase * i));
const sequence = (tokens: number[], images: ImageInput[], response: number[]): Sequence => ({
  prompt: { tokens: Int32Array.from(tokens), images },
  response: Int32Array.from(response),
});
const repeated = (token: number, count: number) => new Array<number>(count).fill(token);

/** Two layers: the last one computes fewer rows than the others. */
const decoder = { ...tinySpec.decoder, layers: 2 };

const text: ModelOptionsCase = {
  title: "text alone, with biases of queries, keys and values and a tied head",
  model: {
    ...tinySpec,
    vision: null,
    projector: null,
    imageTokenId: null,
    decoder: { ...decoder, qkvBias: true, tiedHead: true },
  },
  batch: [
    sequence([3, 4, 5, 9], [], [6, 7, 8]),
    sequence([3, 4, 5, 9], [], [2]),
    sequence([1, 1, 30], [], [5, 31, 0, 4]),
  ],
};

const views = (count: number, phase: number, tokens?: number[]): ImageInput => ({
  pixels: waves(count * 3 * 8 * 8, phase),
  ...(tokens && { tokens: Int32Array.from(tokens) }),
});

/** Of two views, the whole first one and lines of the second, each with a newline. */
const chosen = [0, 1, 2, 3, 4, 5, -1, 6, -1];
const classToken: ModelOptionsCase = {
  title: "a class token, a norm before the blocks and none behind, and chosen features with newlines",
  model: {
    ...tinySpec,
    decoder,
    vision: {
      ...tinySpec.vision,
      patchBias: false,
      classToken: true,
      inputNorm: true,
      outputNorm: false,
      layers: 2,
      activation: "quick_gelu",
      normEpsilon: 1e-2,
    },
    projector: { ...tinySpec.projector, activation: "gelu", newline: true },
  },
  batch: [
    sequence([3, ...repeated(image, chosen.length), 5], [views(2, 0.3, chosen)], [6, 7, 8, 9]),
    sequence([3, ...repeated(image, chosen.length), 5], [views(2, 0.3, chosen)], [4]),
    sequence(
      [...repeated(image, 4), 3, ...repeated(image, 3), 4],
      [views(1, 1.1), views(1, 2.3, [3, -1, 1])],
      [8, 2],
    ),
  ],
};

const merged: ModelOptionsCase = {
  title: "squares of patches merged into one token by a linear layer, and views apart in the prompt",
  model: {
    ...tinySpec,
    decoder,
    vision: { ...tinySpec.vision, patchSize: 2, normEpsilon: 1e-2 },
    projector: { ...tinySpec.projector, mergeSize: 2, hiddenWidth: null, bias: false },
  },
  batch: [
    sequence([3, ...repeated(image, 4), 7, ...repeated(image, 4), 5], [views(2, 0.3)], [6, 7, 8]),
    sequence([3, ...repeated(image, 4), 7, ...repeated(image, 4), 5], [views(2, 0.3)], [4, 4]),
    sequence([...repeated(image, 4), 9], [views(1, 0.9)], [5]),
  ],
};

const patchPixels = 3 * 2 * 2 ** 2;
const frame = (rows: number, columns: number, phase: number): ImageInput => ({
  pixels: waves(rows * columns * patchPixels, phase),
  grid: { rows, columns },
});

const native: ModelOptionsCase = {
  title: "images of any size in windows, and positions of time, row and column",
  model: {
    ...tinySpec,
    decoder: { ...decoder, headSize: 12, ropeTheta: 100, ropeSections: [2, 1, 3], qkvBias: true },
    vision: {
      kind: "native_resolution",
      channels: 3,
      patchSize: 2,
      temporalPatchSize: 2,
      width: 16,
      layers: 3,
      heads: 2,
      mlpWidth: 12,
      normEpsilon: 1e-2,
      windowSize: 8,
      fullAttentionLayers: [1],
    },
    projector: { ...tinySpec.projector, mergeSize: 2, normEpsilon: 1e-3, activation: "gelu" },
  },
  batch: [
    sequence(
      [3, ...repeated(image, 6), 4, ...repeated(image, 6), 5],
      [frame(6, 4, 0.3), frame(4, 6, 1.9)],
      [6, 7, 8],
    ),
    sequence(
      [3, ...repeated(image, 6), 4, ...repeated(image, 6), 5],
      [frame(6, 4, 0.3), frame(4, 6, 1.9)],
      [9, 9],
    ),
    sequence([image, 9, 10], [frame(2, 2, 2.7)], [5, 2]),
  ],
};

export const modelOptionsCases: readonly ModelOptionsCase[] = [text, classToken, merged, native];
