import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { NumberLineExpert } from "../../envs/gym-cards/number-line-expert.js";
import { readCheckpoint } from "../../src/models/checkpoint.js";
import { tinyVlmConfig } from "../../src/models/families/tiny-vlm.js";
import type { Sequence } from "../../src/native/types.js";
import { VlmPolicy } from "../../src/policy/vlm-policy.js";

const assets = fileURLToPath(new URL("../../assets/tiny-vlm", import.meta.url));
const options = { threads: 2, seed: 7 };
const sampling = { temperature: 1 };

let scratch: string;
/** The tiny model made tinier; tokenizer and images as they are, 16 tokens per image. */
let modelFolder: string;
let openPolicies: VlmPolicy[] = [];

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "sightline-"));
  modelFolder = join(scratch, "model");
  cpSync(assets, modelFolder, { recursive: true, filter: (path) => !path.endsWith(".safetensors") });
  const config = join(modelFolder, "config.json");
  const spec = tinyVlmConfig.parse(JSON.parse(readFileSync(config, "utf8")));
  const smaller = {
    ...spec,
    vision: { ...spec.vision, patchSize: 24, width: 16, layers: 1, heads: 2, mlpWidth: 24 },
    projector: { ...spec.projector, hiddenWidth: 16 },
    decoder: { ...spec.decoder, width: 24, layers: 2, heads: 2, keyValueHeads: 1, headSize: 8, mlpWidth: 32 },
    valueHead: { ...spec.valueHead, hiddenWidths: [8] },
  };
  writeFileSync(config, JSON.stringify(z.encode(tinyVlmConfig, smaller)));
});
afterAll(() => rmSync(scratch, { recursive: true }));
afterEach(() => {
  for (const policy of openPolicies) policy.dispose();
  openPolicies = [];
});

async function open(policy: Promise<VlmPolicy>): Promise<VlmPolicy> {
  openPolicies.push(await policy);
  return policy;
}

const environment = new NumberLine();
const { frame, info } = environment.reset(1);
const answer = new NumberLineExpert().respond(info, () => 0.5, 0);

function demonstration(policy: VlmPolicy): Sequence[] {
  return [
    { prompt: policy.encode(frame, environment.prompt(info)), response: policy.encodeResponse(answer) },
  ];
}

async function logProbsOf(policy: VlmPolicy, sequences: readonly Sequence[]): Promise<number[]> {
  const { logProbs } = await policy.score(sequences, { keepTape: false });
  return [...logProbs];
}

/** One optimizer step on the likelihood of the sequences. */
async function train(policy: VlmPolicy, sequences: readonly Sequence[]): Promise<void> {
  const scores = await policy.score(sequences);
  await policy.backward(scores, { logProbs: new Float32Array(scores.logProbs.length).fill(-1) });
  await policy.step({ groups: [{ components: ["vision", "projector", "decoder"], learningRate: 1e-2 }] });
}

describe("encode", () => {
  test("puts the image's tokens and the prompt into the chat template", async () => {
    const policy = await open(VlmPolicy.initialize(modelFolder, options));
    const { tokens, images } = policy.encode(frame, environment.prompt(info));
    const imageTokens = [...tokens.keys()].filter((i) => tokens[i] === 3);
    expect(imageTokens).toEqual(Array.from({ length: 16 }, (_, i) => 3 + i));
    expect(tokens.length).toBe(6 + 16 + 110);
    expect(images).toHaveLength(1);
    expect(images[0]!.pixels.length).toBe(96 * 96);
  });

  test("keeps the tokens of recent prompts, and only so many", async () => {
    const policy = await open(VlmPolicy.initialize(modelFolder, options));
    const first = policy.encode(frame, "prompt 0").tokens;
    for (let i = 1; i < 256; i++) policy.encode(frame, `prompt ${i}`);
    expect(policy.encode(frame, "prompt 0").tokens).toBe(first);
    const second = policy.encode(frame, "prompt 1").tokens;
    policy.encode(frame, "prompt 256");
    expect(policy.encode(frame, "prompt 1").tokens).toBe(second);
    for (let i = 257; i < 512; i++) policy.encode(frame, `prompt ${i}`);
    expect(policy.encode(frame, "prompt 0").tokens).not.toBe(first);
    expect(policy.encode(frame, "prompt 0").tokens).toEqual(first);
  });

  test("refuses a prompt that holds the image token", async () => {
    const policy = await open(VlmPolicy.initialize(modelFolder, options));
    expect(() => policy.encode(frame, "Look at <image>.")).toThrow(
      expect.objectContaining({ code: "IMAGE_TOKEN_MISMATCH" }),
    );
  });
});

test("images are processed as the options say, where the model's processor can", async () => {
  await expect(
    VlmPolicy.initialize(modelFolder, { ...options, images: { singleCrop: true } }),
  ).rejects.toThrow("images.singleCrop: expected a checkpoint of LLaVA");
});

describe("respond", () => {
  test("returns the sampled tokens as text, with the log-probs and the value that score computes", async () => {
    const policy = await open(VlmPolicy.initialize(modelFolder, options));
    const prompt = policy.encode(frame, environment.prompt(info));
    const request = { sampling, randomKey: [1, 2] as const, maxNewTokens: 12 };
    const response = await policy.respond(prompt, request);
    const { tokenizer } = await readCheckpoint(modelFolder);
    expect(response.text).toBe(tokenizer.decode(response.tokens));
    const scores = await policy.score([{ prompt, response: response.tokens }], sampling);
    expect([...response.logProbs]).toEqual([...scores.logProbs]);
    expect(response.value).toBe(scores.values[0]);
  });

  test("with no new tokens gives the value alone", async () => {
    const policy = await open(VlmPolicy.initialize(modelFolder, options));
    const prompt = policy.encode(frame, environment.prompt(info));
    const response = await policy.respond(prompt, { sampling, randomKey: [1, 2], maxNewTokens: 0 });
    expect(response).toMatchObject({ text: "", tokens: new Int32Array(), finishReason: "length" });
    const scores = await policy.score(demonstration(policy), { keepTape: false });
    expect(response.value).toBe(scores.values[0]);
  });

  test("ends at a stop string that spans several tokens", async () => {
    const policy = await open(VlmPolicy.initialize(modelFolder, options));
    const sequences = demonstration(policy);
    for (let i = 0; i < 60; i++) await train(policy, sequences);
    const response = await policy.respond(sequences[0]!.prompt, {
      sampling: { temperature: 0 },
      randomKey: [1, 2],
      maxNewTokens: 96,
      stopStrings: ['number": "'],
    });
    expect(response.finishReason).toBe("stop");
    expect(response.text).toBe('{\n "current number": "');
  });
});

describe("encodeResponse", () => {
  test("gives the text's tokens and the end token", async () => {
    const policy = await open(VlmPolicy.initialize(modelFolder, options));
    const tokens = policy.encodeResponse(answer);
    expect(tokens.length).toBe(66);
    expect(tokens.at(-1)).toBe(2);
    expect(policy.tokenAtCharacter(tokens, answer.lastIndexOf('"action"'))).toBe(58);
  });
});

describe("checkpoints", () => {
  test("the same seed gives the same weights, another seed others", async () => {
    const [a, b, c] = await Promise.all(
      [7, 7, 8].map((seed) => open(VlmPolicy.initialize(modelFolder, { ...options, seed }))),
    );
    const reference = await logProbsOf(a!, demonstration(a!));
    expect(await logProbsOf(b!, demonstration(b!))).toEqual(reference);
    expect(await logProbsOf(c!, demonstration(c!))).not.toEqual(reference);
  });

  test("load restores the weights that saveCheckpoint wrote", async () => {
    const policy = await open(VlmPolicy.initialize(modelFolder, options));
    const sequences = demonstration(policy);
    await train(policy, sequences);
    const folder = join(scratch, "weights-only");
    await policy.saveCheckpoint(folder, { optimizer: false });
    expect(existsSync(join(folder, "optimizer.safetensors"))).toBe(false);
    const restored = await open(VlmPolicy.load(folder, { ...options, seed: 8 }));
    expect(await logProbsOf(restored, sequences)).toEqual(await logProbsOf(policy, sequences));
  });

  test("loadCheckpoint with optimizer state continues training to the same numbers", async () => {
    const policy = await open(VlmPolicy.initialize(modelFolder, options));
    const sequences = demonstration(policy);
    await train(policy, sequences);
    const folder = join(scratch, "with-optimizer");
    await policy.saveCheckpoint(folder, { optimizer: true });
    await train(policy, sequences);

    const resumed = await open(VlmPolicy.initialize(modelFolder, { ...options, seed: 8 }));
    await resumed.loadCheckpoint(folder);
    await train(resumed, sequences);
    expect(await logProbsOf(resumed, sequences)).toEqual(await logProbsOf(policy, sequences));
  });

  test("load throws FILE_MISSING for a folder without weights", async () => {
    await expect(VlmPolicy.load(modelFolder, options)).rejects.toMatchObject({
      name: "CheckpointError",
      code: "FILE_MISSING",
      path: join(modelFolder, "model.safetensors"),
    });
  });
});
