import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { type Checkpoint, readCheckpoint } from "../../src/models/checkpoint.js";
import { PromptMaker } from "../../src/models/prompts.js";
import type { FixedResolutionSpec } from "../../src/native/model-spec.js";
import { imagePattern } from "../golden/image-pattern.js";

interface Vectors {
  prompts: { frame: [number, number]; text: string; tokens: number[] }[];
  answers: { text: string; tokens: number[] }[];
  decoded: { tokens: number[]; text: string }[];
}
const vectors: Record<string, Vectors> = JSON.parse(
  readFileSync(new URL("../golden/prompts.json", import.meta.url), "utf8"),
);
const folderOf = (name: string) => fileURLToPath(new URL(`../golden/prompts/${name}`, import.meta.url));
const frameOf = (width: number, height: number) => imagePattern(width, height);

describe.each(Object.keys(vectors))("%s, as Transformers has saved and encodes it", (name) => {
  const { prompts, answers, decoded } = vectors[name]!;
  let checkpoint: Checkpoint;
  let maker: PromptMaker;
  beforeAll(async () => {
    checkpoint = await readCheckpoint(folderOf(name));
    maker = new PromptMaker(checkpoint);
  });

  test("prompts are the processor's tokens", () => {
    for (const { frame, text, tokens } of prompts) {
      expect([...maker.observation(frameOf(...frame), text).tokens]).toEqual(tokens);
    }
  });

  test("a prompt has as many image tokens as features of its images are placed", () => {
    const { spec } = checkpoint;
    for (const [width, height] of [
      [30, 30],
      [45, 20],
      [20, 64],
    ] as const) {
      const { tokens, images } = maker.observation(frameOf(width, height), "Look.");
      if (spec.vision === null || spec.projector === null) {
        expect(images).toEqual([]);
        continue;
      }
      const [image] = images;
      const tokenSize = spec.vision.patchSize * spec.projector.mergeSize;
      const repeats = spec.vision.kind === "native_resolution" ? spec.vision.temporalPatchSize : 1;
      const features = image!.pixels.length / (3 * repeats * tokenSize ** 2);
      const placed = image!.tokens?.length ?? features;
      expect(tokens.filter((token) => token === spec.imageTokenId).length).toBe(placed);
    }
  });

  test("responses are the tokens that the template has behind the prompt, and the end token", () => {
    expect(answers.length).toBeGreaterThan(2);
    for (const { text, tokens } of answers) {
      const response = [...maker.response(text)];
      // What a template writes between an answer and its end, no model has to learn.
      expect(response).toEqual([...tokens.slice(0, response.length - 1), checkpoint.spec.endTokenId]);
    }
  });

  test("decoding a response gives what it adds to its prompt", () => {
    for (const { tokens, text } of decoded) {
      expect(checkpoint.tokenizer.decode(Int32Array.from(tokens))).toBe(text);
    }
  });

  test("the bytes of tokens, joined, are the text that they continue, and characters are found in them", () => {
    const { tokenizer } = checkpoint;
    for (const { text } of prompts) {
      const tokens = tokenizer.encodeContinuation(text);
      const joined = Buffer.concat(Array.from(tokens, (token) => tokenizer.tokenBytes()[token]!));
      expect(joined.toString("utf8")).toBe(text.normalize(name === "qwen2-5-vl" ? "NFC" : undefined));
      for (let character = 0; character < text.length; character++) {
        const at = tokenizer.tokenAtCharacter(tokens, character);
        const before = tokenizer.decode(tokens.subarray(0, at));
        const with_ = tokenizer.decode(tokens.subarray(0, at + 1));
        expect(with_.startsWith(text.slice(0, character + 1))).toBe(true);
        expect(before.startsWith(text.slice(0, character + 1))).toBe(false);
      }
    }
  });

  test("ids of the model that the vocabulary has not stand for no bytes", () => {
    const { tokenizer, spec } = checkpoint;
    const bytes = tokenizer.tokenBytes();
    expect(bytes.length).toBe(spec.decoder.vocabularySize);
    expect(tokenizer.vocabularySize).toBeLessThan(bytes.length);
    expect(bytes.slice(tokenizer.vocabularySize).every(({ length }) => length === 0)).toBe(true);
    expect(tokenizer.decode(Int32Array.of(bytes.length - 1))).toBe("");
  });
});

describe("a prompt that the model cannot take", () => {
  let maker: PromptMaker;
  const frame = imagePattern(96, 96);
  beforeAll(async () => {
    maker = new PromptMaker(
      await readCheckpoint(fileURLToPath(new URL("../../assets/tiny-vlm", import.meta.url))),
    );
  });

  test("throws IMAGE_TOKEN_MISMATCH where its text holds the image token", () => {
    expect(() => maker.observation(frame, "Look at <image>.")).toThrow(
      expect.objectContaining({ name: "PromptError", code: "IMAGE_TOKEN_MISMATCH" }),
    );
  });

  test("throws PROMPT_TOO_LONG where no position is left for a response", () => {
    const { length } = maker.observation(frame, "").tokens;
    const longest = "=".repeat(511 - length);
    expect(maker.observation(frame, longest).tokens.length).toBe(511);
    expect(() => maker.observation(frame, `${longest}=`)).toThrow(
      expect.objectContaining({ code: "PROMPT_TOO_LONG", message: expect.stringContaining("received 512") }),
    );
  });
});

test("the tokens of recent prompts are kept, for each size of frames", async () => {
  const maker = new PromptMaker(await readCheckpoint(folderOf("llava-next")));
  const tokens = (width: number, text: string) => maker.observation(imagePattern(width, 30), text).tokens;
  const first = tokens(30, "prompt 0");
  expect(tokens(30, "prompt 0")).toBe(first);
  expect(tokens(60, "prompt 0").length).not.toBe(first.length);
});

test("tiles that patches do not fill are cut to what they cover", async () => {
  const checkpoint = await readCheckpoint(folderOf("smolvlm"));
  const vision = checkpoint.spec.vision as FixedResolutionSpec;
  // Patches of 10 in tiles of 32 leave 2 pixels at the right and the bottom.
  const spec = {
    ...checkpoint.spec,
    vision: { ...vision, patchSize: 10, imageSize: 30 },
    projector: { ...checkpoint.spec.projector!, mergeSize: 3 },
  };
  const frame = imagePattern(64, 64);
  const { images } = new PromptMaker({ ...checkpoint, spec }).observation(frame, "Look.");
  const { pixels } = checkpoint.imageProcessor!.process(frame);
  expect(images[0]!.pixels.length).toBe(5 * 3 * 30 * 30);
  for (const [view, channel, y, x] of [
    [0, 0, 0, 0],
    [2, 1, 29, 7],
    [4, 2, 13, 29],
  ] as const) {
    const plane = view * 3 + channel;
    expect(images[0]!.pixels[(plane * 30 + y) * 30 + x]).toBe(pixels[(plane * 32 + y) * 32 + x]);
  }
});

test("without a chat template the text is the prompt, behind the image", async () => {
  const withImage = await readCheckpoint(folderOf("llava"));
  const textAlone = await readCheckpoint(folderOf("llama"));
  for (const [checkpoint, prompt] of [
    [withImage, "<image>Look."],
    [textAlone, "Look."],
  ] as const) {
    const { tokens } = new PromptMaker({ ...checkpoint, chatTemplate: null }).observation(
      imagePattern(32, 32),
      "Look.",
    );
    const { spec, tokenizer } = checkpoint;
    const once = tokens.filter((token, index) => token !== spec.imageTokenId || tokens[index - 1] !== token);
    expect([...once]).toEqual([...tokenizer.encodePrompt(prompt)]);
    expect(once[0]).toBe(checkpoint.beginToken);
  }
});
