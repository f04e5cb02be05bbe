import { expect, test } from "vitest";
import { scoreFlops, trainFlops, weightsPerToken } from "../../bench/flops.js";
import { modelSpec } from "../../bench/models.js";
import type { ModelSpec } from "../../src/native/model-spec.js";
import { tinySpec } from "../native/tiny-engine.js";

test("the training step of the decoder of 7 M parameters costs 126.3 GFLOP", async () => {
  const model = await modelSpec("decoder-7m");
  expect(weightsPerToken(model)).toBe(6 * (4 * 256 ** 2 + 3 * 256 * 1024) + 1024 * 256);
  const flops = trainFlops(model, new Array(16).fill({ prompt: 1, response: 192, images: 0 }));
  // 6 FLOPs per weight and row, and 12 L d S^2 / 2 per sequence for causal attention.
  const expected = 6 * weightsPerToken(model) * 3072 + 16 * 6 * 6 * 256 * 192 * 193;
  expect(flops).toBe(expected);
  expect(flops / 1e9).toBeCloseTo(126.3, 1);
});

test("prompt rows cost nothing after the last layer's keys and values", () => {
  const size = { width: 1, layers: 1, heads: 1, mlpWidth: 1, normEpsilon: 1 };
  const model: ModelSpec = {
    vision: { ...tinySpec.vision, ...size, imageSize: 2, patchSize: 1, channels: 1 },
    projector: { ...tinySpec.projector, hiddenWidth: 1 },
    decoder: {
      ...tinySpec.decoder,
      ...size,
      vocabularySize: 10,
      keyValueHeads: 1,
      headSize: 2,
      ropeTheta: 1,
      embeddingScale: 1,
      maxPositions: 9,
    },
    valueHead: { hiddenWidths: [], trunkGradientScale: 0 },
    imageTokenId: 0,
    endTokenId: 1,
  };
  // Three rows: qkv (6 weights) for all; output, MLP (2 + 3) and head (10) for the last two, which see 2 + 3 keys.
  const text = 2 * (3 * 6 + 2 * 5 + 2 * 10) + 4 * 2 * (2 + 3);
  expect(scoreFlops(model, { prompt: 2, response: 2, images: 0 })).toBe(text);
  // Four patches: 1 + 4 + 2 weights of the encoder and 2 of the projector; 16 pairs of patches.
  const image = 2 * 4 * (1 + 4 + 2 + 2) + 4 * 16;
  expect(scoreFlops(model, { prompt: 2, response: 2, images: 1 })).toBe(text + image);
});
