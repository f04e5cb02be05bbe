import { expect } from "vitest";
import type { TinyVlmSpec } from "../../src/models/families/tiny-vlm.js";
import { Engine } from "../../src/native/engine.js";
import { SightlineError, type SightlineErrorCode } from "../../src/native/errors.js";
import type {
  EngineOptions,
  GenerateRequest,
  ParameterGroup,
  Prompt,
  Sequence,
} from "../../src/native/types.js";

/** The smallest model with every part: four image tokens, a vocabulary of 32. */
export const tinySpec: TinyVlmSpec = {
  vision: {
    kind: "fixed_resolution",
    imageSize: 8,
    channels: 3,
    patchSize: 4,
    patchBias: true,
    classToken: false,
    inputNorm: false,
    outputNorm: true,
    width: 8,
    layers: 1,
    heads: 2,
    mlpWidth: 16,
    activation: "gelu_tanh",
    normEpsilon: 1e-6,
  },
  projector: {
    mergeSize: 1,
    normEpsilon: null,
    hiddenWidth: 8,
    activation: "gelu_tanh",
    bias: true,
    newline: false,
  },
  decoder: {
    vocabularySize: 32,
    width: 16,
    layers: 1,
    heads: 2,
    keyValueHeads: 1,
    headSize: 8,
    mlpWidth: 32,
    qkvBias: false,
    tiedHead: false,
    normEpsilon: 1e-6,
    ropeTheta: 10_000,
    ropeSections: null,
    embeddingScale: 1,
    maxPositions: 256,
  },
  valueHead: { hiddenWidths: [8], trunkGradientScale: 1 },
  imageTokenId: 1,
  endTokenId: 2,
};

export const createTinyEngine = (options: Partial<EngineOptions> = {}): Promise<Engine> =>
  Engine.create({ model: tinySpec, threads: 2, ...options });

export function prompt(text: readonly number[] = [3, 4, 5]): Prompt {
  return {
    tokens: Int32Array.of(1, 1, 1, 1, ...text),
    images: [{ pixels: Float32Array.from({ length: 3 * 8 * 8 }, (_, i) => Math.sin(i)) }],
  };
}

export function request(overrides: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    prompt: prompt(),
    sampling: { temperature: 1 },
    randomKey: [1, 2],
    maxNewTokens: 16,
    ...overrides,
  };
}

/** A sequence with `length` response tokens. */
export function sequence(length: number, text?: readonly number[]): Sequence {
  return { prompt: prompt(text), response: Int32Array.from({ length }, (_, i) => 3 + (i % 29)) };
}

/** Sequences that take the engine a moment to score, so that something can happen meanwhile. */
export const longBatch = (): Sequence[] =>
  Array.from({ length: 100 }, (_, i) => sequence(200, [3, 4, 5 + (i % 20)]));

export const everything: ParameterGroup = {
  components: ["vision", "projector", "decoder", "value_head"],
  learningRate: 1e-3,
};

/** The error that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error("expected a rejection, received a result");
    },
    (error) => error,
  );
}

export async function expectFailure(
  promise: Promise<unknown>,
  code: SightlineErrorCode,
  message: RegExp | string,
): Promise<void> {
  const error = await rejection(promise);
  expect(error).toBeInstanceOf(SightlineError);
  expect(error).toMatchObject({ code });
  if (typeof message === "string") expect((error as Error).message).toBe(message);
  else expect((error as Error).message).toMatch(message);
}
