import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { tinyVlmConfig } from "../../../src/models/families/tiny-vlm.js";

const file = JSON.parse(
  readFileSync(new URL("../../../assets/tiny-vlm/config.json", import.meta.url), "utf8"),
);
const spec = tinyVlmConfig.parse(file);

/** The file's contents with one field, named by its path, changed. */
function withField(path: string, value: unknown): unknown {
  const changed = structuredClone(file);
  const keys = path.split(".");
  const last = keys.pop()!;
  const owner = keys.reduce((object, key) => object[key], changed);
  owner[last] = value;
  return changed;
}

describe("tinyVlmConfig", () => {
  test("maps every field of config.json", () => {
    expect(spec).toEqual({
      vision: {
        kind: "fixed_resolution",
        imageSize: 96,
        channels: 1,
        patchSize: 12,
        patchBias: true,
        classToken: false,
        inputNorm: false,
        outputNorm: true,
        width: 128,
        layers: 2,
        heads: 4,
        mlpWidth: 512,
        activation: "gelu_tanh",
        normEpsilon: 1e-5,
      },
      projector: {
        mergeSize: 1,
        normEpsilon: null,
        hiddenWidth: 128,
        activation: "gelu_tanh",
        bias: true,
        newline: false,
      },
      decoder: {
        vocabularySize: 512,
        width: 128,
        layers: 4,
        heads: 4,
        keyValueHeads: 4,
        headSize: 32,
        mlpWidth: 352,
        qkvBias: false,
        tiedHead: false,
        normEpsilon: 1e-5,
        ropeTheta: 10000,
        ropeSections: null,
        embeddingScale: Math.sqrt(128),
        maxPositions: 512,
      },
      valueHead: { hiddenWidths: [128], trunkGradientScale: 0.1 },
      imageTokenId: 3,
      endTokenId: 2,
    });
  });

  test("writes a file that reads back as the same model", () => {
    const changed = {
      ...spec,
      decoder: { ...spec.decoder, heads: 6, keyValueHeads: 2, headSize: 10, ropeTheta: 5e4 },
      valueHead: { hiddenWidths: [], trunkGradientScale: 1 },
    };
    const written = JSON.parse(JSON.stringify(z.encode(tinyVlmConfig, changed)));
    expect(tinyVlmConfig.parse(written)).toEqual(changed);
  });

  test.each([
    ["model_type", "llava", "expected"],
    ["vision_config.patch_size", 7, "expected a divisor of image_size = 96, received 7"],
    ["vision_config.num_attention_heads", 5, "expected a divisor of hidden_size = 128, received 5"],
    ["vision_config.num_channels", 2, "expected one of 1|3"],
    ["text_config.num_key_value_heads", 3, "expected a divisor of num_attention_heads = 4, received 3"],
    ["text_config.head_dim", 31, "multiple of 2"],
    ["text_config.rope_theta", "10000", "expected number, received string"],
    ["text_config.vocab_size", undefined, "expected number, received undefined"],
    ["image_token_id", 512, "expected an id below vocab_size = 512, received 512"],
    ["eos_token_id", 3, "expected an id other than image_token_id, received 3"],
    ["value_head_config.trunk_gradient_scale", 1.5, "<=1"],
  ])("names %s where it is %s", (path, value, message) => {
    const issues = tinyVlmConfig.safeParse(withField(path, value)).error!.issues;
    expect(issues.map((issue) => issue.path.join("."))).toEqual([path]);
    expect(issues[0]!.message).toContain(message);
  });

  test("refuses a field that it would ignore", () => {
    const issues = tinyVlmConfig.safeParse(withField("text_config.tie_word_embeddings", true)).error!.issues;
    expect(issues[0]!.message).toContain("tie_word_embeddings");
  });
});
