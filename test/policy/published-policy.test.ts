/** Published models as policies: what runs load, train and save. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import type { Sequence } from "../../src/native/types.js";
import { VlmPolicy, type VlmPolicyOptions } from "../../src/policy/vlm-policy.js";
import { mergeAdapter } from "../../src/train/merge-adapter.js";
import { makeGoldenModel } from "../models/golden-model.js";

let scratch: string;
let base: string;
let openPolicies: VlmPolicy[] = [];
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "sightline-policy-"));
  base = join(scratch, "base");
});
afterEach(() => {
  for (const policy of openPolicies) policy.dispose();
  openPolicies = [];
  rmSync(scratch, { recursive: true });
});

async function load(folder: string, options: VlmPolicyOptions = {}): Promise<VlmPolicy> {
  const policy = await VlmPolicy.load(folder, { threads: 2, seed: 7, ...options });
  openPolicies.push(policy);
  return policy;
}

const { frame } = new NumberLine().reset(1);

function demonstration(policy: VlmPolicy): Sequence[] {
  return [{ prompt: policy.encode(frame, "Which way?"), response: policy.encodeResponse("right") }];
}

async function outputsOf(policy: VlmPolicy): Promise<number[]> {
  const { logProbs, values } = await policy.score(demonstration(policy), { keepTape: false });
  return [...logProbs, ...values];
}

/** One optimizer step on the likelihood of the demonstration, and on its value. */
async function train(policy: VlmPolicy): Promise<void> {
  const scores = await policy.score(demonstration(policy));
  const logProbs = new Float32Array(scores.logProbs.length).fill(-1);
  await policy.backward(scores, { logProbs, values: Float32Array.of(1) });
  const components = ["vision", "projector", "decoder", "value_head"] as const;
  await policy.step({ groups: [{ components, learningRate: 1e-2 }] });
}

const adapters = {
  trainable: { vision: "frozen", projector: "all", decoder: "lora" },
  lora: { rank: 4, alpha: 8, modules: ".*self_attn\\.(q|v)_proj" },
} as const;

describe.each(["llava-next", "llama"])("a published model of the family %s", (family) => {
  test("trained with adapters goes on from its checkpoint to the same numbers", async () => {
    makeGoldenModel(family, base);
    const options: VlmPolicyOptions = adapters;
    const policy = await load(base, options);
    const untrained = await outputsOf(policy);
    await train(policy);
    const folder = join(scratch, "run");
    await policy.saveCheckpoint(folder, { optimizer: true });
    expect(readdirSync(folder).sort()).toEqual(
      [
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.safetensors",
        ...(family === "llama" ? [] : ["trained.safetensors"]),
        "value_head.json",
        "value_head.safetensors",
      ].sort(),
    );
    const trained = await outputsOf(policy);
    expect(trained).not.toEqual(untrained);

    // To be evaluated nothing needs to be said of the adapters.
    const frozen = { vision: "frozen", projector: "frozen", decoder: "frozen" } as const;
    expect(await outputsOf(await load(folder, { seed: 1, trainable: frozen }))).toEqual(trained);

    await train(policy);
    const resumed = await load(folder, { seed: 2, ...options });
    await resumed.loadCheckpoint(folder);
    await train(resumed);
    expect(await outputsOf(resumed)).toEqual(await outputsOf(policy));
    await expect(load(folder, { ...options, lora: { rank: 2, alpha: 8 } })).rejects.toThrow(
      "rank 2 and alpha 8",
    );
    await expect(load(folder, { ...options, lora: { rank: 4, alpha: 8 } })).rejects.toThrow(
      /missing: .*lora_A/,
    );
  });

  test("computes as merged what it did with the adapter", async () => {
    makeGoldenModel(family, base);
    const policy = await load(base, adapters);
    await train(policy);
    await policy.saveCheckpoint(join(scratch, "run"));
    const expected = await outputsOf(policy);
    await mergeAdapter(base, join(scratch, "run"), join(scratch, "merged"));
    const merged = await outputsOf(await load(join(scratch, "merged")));
    const largest = Math.max(...expected.map(Math.abs));
    const errors = merged.map((value, i) => Math.abs(value - expected[i]!) / largest);
    expect(Math.max(...errors)).toBeLessThan(1e-5);
  });

  test("trained whole goes on from its checkpoint to the same numbers, and is a model folder of its own", async () => {
    const tensors = makeGoldenModel(family, base);
    const options = { trainable: { vision: "frozen" } } as const;
    const policy = await load(base, options);
    await train(policy);
    const folder = join(scratch, "run");
    await policy.saveCheckpoint(folder, { optimizer: true });
    for (const file of readdirSync(base).filter((name) => /^(config|tokenizer).*json$/.test(name)))
      expect(readFileSync(join(folder, file), "utf8")).toBe(readFileSync(join(base, file), "utf8"));
    expect(existsSync(join(folder, "adapter_config.json"))).toBe(false);
    const trained = await outputsOf(policy);
    rmSync(base, { recursive: true });
    expect(await outputsOf(await load(folder, { seed: 1 }))).toEqual(trained);

    await train(policy);
    const resumed = await load(folder, { seed: 2, ...options });
    await resumed.loadCheckpoint(folder);
    await train(resumed);
    expect(await outputsOf(resumed)).toEqual(await outputsOf(policy));
    expect(Object.keys(tensors).length).toBeGreaterThan(10);
  });
});

test("a prompt of text alone goes to either kind of model", async () => {
  for (const family of ["llava-next", "llama"]) {
    makeGoldenModel(family, join(scratch, family));
    const policy = await load(join(scratch, family));
    expect(policy.takesImages).toBe(family === "llava-next");
    const prompt = policy.encode(null, "Which way?");
    expect(prompt.images).toEqual([]);
    const { tokens } = await policy.respond(prompt, {
      sampling: { temperature: 0 },
      randomKey: [1, 2],
      maxNewTokens: 4,
    });
    expect(tokens.length).toBeGreaterThan(0);
  }
});
