import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { expandImageTokens, tinyVlmConfig } from "../../src/models/tiny-vlm.js";

const file = JSON.parse(readFileSync(new URL("../../assets/tiny-vlm/config.json", import.meta.url), "utf8"));
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
        imageSize: 96,
        channels: 1,
        patchSize: 12,
        width: 128,
        layers: 2,
        heads: 4,
        mlpWidth: 512,
        normEpsilon: 1e-5,
      },
      projector: { hiddenWidth: 128 },
      decoder: {
        vocabularySize: 512,
        width: 128,
        layers: 4,
        heads: 4,
        keyValueHeads: 4,
        headSize: 32,
        mlpWidth: 352,
        normEpsilon: 1e-5,
        ropeTheta: 10000,
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

describe("expandImageTokens", () => {
  test("repeats the image token once per patch and keeps the rest", () => {
    const tokens = expandImageTokens(spec, Int32Array.of(1, 9, 3, 8, 3), 2);
    expect([...tokens]).toEqual([1, 9, ...Array(64).fill(3), 8, ...Array(64).fill(3)]);
  });

  test("throws IMAGE_TOKEN_MISMATCH where a prompt's text holds an image token of its own", () => {
    expect(() => expandImageTokens(spec, Int32Array.of(1, 3, 3), 1)).toThrow(
      expect.objectContaining({ name: "PromptError", code: "IMAGE_TOKEN_MISMATCH" }),
    );
  });

  test("throws PROMPT_TOO_LONG where no position is left for a response", () => {
    const longest = new Int32Array(512 - 64).fill(7);
    longest[0] = spec.imageTokenId;
    expect(expandImageTokens(spec, longest, 1).length).toBe(511);
    expect(() => expandImageTokens(spec, Int32Array.of(...longest, 7), 1)).toThrow(
      expect.objectContaining({ code: "PROMPT_TOO_LONG", message: expect.stringContaining("received 512") }),
    );
  });
});
