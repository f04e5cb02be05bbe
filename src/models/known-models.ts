import type { ModelSpec } from "../native/types.js";

/**
 * LLaVA-1.6 with Mistral-7B (Liu et al. 2024) at one image of 336 x 336, as RL4VLM uses it: CLIP ViT-L/14 up to its last
 * but one block, a two-layer projector, and the value head of Zhai et al. 2024.
 */
const llavaMistral: ModelSpec = {
  vision: {
    kind: "fixed_resolution",
    imageSize: 336,
    channels: 3,
    patchSize: 14,
    patchBias: false,
    classToken: true,
    inputNorm: true,
    outputNorm: false,
    width: 1024,
    layers: 23,
    heads: 16,
    mlpWidth: 4096,
    activation: "quick_gelu",
    normEpsilon: 1e-5,
  },
  projector: {
    mergeSize: 1,
    normEpsilon: null,
    hiddenWidth: 4096,
    activation: "gelu",
    bias: true,
    newline: true,
  },
  decoder: {
    vocabularySize: 32_064,
    width: 4096,
    layers: 32,
    heads: 32,
    keyValueHeads: 8,
    headSize: 128,
    mlpWidth: 14_336,
    qkvBias: false,
    tiedHead: false,
    normEpsilon: 1e-5,
    ropeTheta: 1_000_000,
    ropeSections: null,
    embeddingScale: 1,
    maxPositions: 32_768,
  },
  valueHead: { hiddenWidths: [1024, 512], trunkGradientScale: 1 },
  imageTokenId: 32_000,
  endTokenId: 2,
};

/** Sizes of published models by the name a configuration gives them: enough to plan a run before any file is there. */
export const knownModels: Readonly<Record<string, ModelSpec>> = {
  "llava-v1.6-mistral-7b": llavaMistral,
};
