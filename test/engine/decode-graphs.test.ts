import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Engine } from "../../src/native/engine.js";
import type { ModelSpec } from "../../src/native/model-spec.js";
import type { Completion, EngineOptions } from "../../src/native/types.js";
import { useEmulatedCuda, withoutCuda } from "../emulated-cuda.js";
import { emulator, type Settings } from "../emulator/cuda.js";
import { createTinyEngine, prompt, request, sequence, tinySpec } from "../native/tiny-engine.js";

/**
 * Decoding steps as CUDA graphs: they give the bits of the same steps launched op by op, whoever joins and leaves, whatever has
 * happened to the weights in between. The emulator can be told to refuse recordings, which is how the other half is made.
 */
let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "sightline-"));
  useEmulatedCuda();
});
afterAll(() => rmSync(scratch, { recursive: true }));

const restart = (settings: Settings = {}) => emulator.configure({ interpreterThreads: 2, ...settings });

// Of sizes that the kernels for tensor cores take, where the storage is bf16.
const model: ModelSpec = {
  ...tinySpec,
  decoder: {
    ...tinySpec.decoder,
    width: 64,
    layers: 2,
    heads: 4,
    keyValueHeads: 2,
    headSize: 16,
    mlpWidth: 64,
  },
  endTokenId: 30,
};

const bf16: Partial<EngineOptions> = { model, device: "cuda", precision: "bf16" };
const ways: [string, Partial<EngineOptions>][] = [
  ["fp32, everything trained", { ...bf16, precision: "fp32" }],
  ["bf16, everything trained", bf16],
  [
    "bf16, a decoder with adapters",
    { ...bf16, trainable: { vision: "frozen", decoder: "lora" }, lora: { rank: 8, alpha: 4 } },
  ],
];

async function withEngine<R>(
  options: Partial<EngineOptions>,
  work: (engine: Engine) => Promise<R>,
): Promise<R> {
  const engine = await createTinyEngine(options);
  try {
    return await work(engine);
  } finally {
    engine.dispose();
  }
}

/** A prompt that ends shortly before its first page is full. */
const long = Array.from({ length: 56 }, (_, i) => 3 + (i % 20));

/** The i-th of many requests, which all differ. */
const ask = (engine: Engine, i: number, maxNewTokens: number): Promise<Completion> =>
  engine.generate(
    request({
      prompt: prompt(i === 3 ? long : [3 + (i % 4), 9, 10].slice(0, 1 + (i % 3))),
      sampling: {
        temperature: i % 5 === 4 ? 0 : 0.8,
        topK: i % 3 === 2 ? 7 : 0,
        topP: i % 4 === 1 ? 0.9 : 1,
      },
      randomKey: [i, 7],
      maxNewTokens,
    }),
  );

/** Every batch from 9 rows to 1: five requests take the place of those that end first, then there are fewer and fewer. */
const lengths = [4, 9, 6, 12, 3, 8, 5, 7, 10, 9, 11, 13, 12, 14];
const generate = (engine: Engine) =>
  Promise.all(lengths.map((maxNewTokens, i) => ask(engine, i, maxNewTokens)));

/** An optimizer step that moves the weights visibly. What it keeps for the backward pass must outlast steps of decoding. */
async function step(engine: Engine): Promise<void> {
  const scores = await engine.forward([sequence(5), sequence(3, [6, 7])]);
  await Promise.all([0, 1, 2].map((i) => ask(engine, i, 6)));
  await engine.backward(scores, { logProbs: scores.logProbs.map((_, i) => Math.cos(i)) });
  await engine.step({ groups: [{ components: ["decoder"], learningRate: 1e-2 }] });
}

describe.skipIf(withoutCuda !== "")(`decoding as CUDA graphs on the emulated GPU${withoutCuda}`, () => {
  beforeEach(() => restart());
  afterEach(() => expect(emulator.violation(0)).toBe(""));

  describe.each(ways)("in %s", (_, options) => {
    test("gives the bits of steps launched op by op, before and after the weights change", async () => {
      const run = (settings: Settings) => {
        restart(settings);
        return withEngine({ ...options, maxBatch: 9 }, async (engine) => {
          const file = join(scratch, "weights.safetensors");
          await engine.save({ model: file });
          const before = await generate(engine);
          const graphs = emulator.calls(0).graphs;
          await step(engine);
          const after = await generate(engine);
          await engine.load({ model: file });
          const again = await generate(engine);
          expect(emulator.violation(0)).toBe("");
          return { responses: { before, after, again }, graphs, calls: emulator.calls(0) };
        });
      };
      const plain = await run({ graphs: 0 });
      expect(plain.calls).toMatchObject({ graphs: 0, graphLaunches: 0 });
      expect(plain.responses.again).toEqual(plain.responses.before);
      expect(plain.responses.after).not.toEqual(plain.responses.before);

      const recorded = await run({});
      expect(recorded.responses).toEqual(plain.responses);
      // Rows: 1, 2, 4, 8, 16; pages: 1, 2. New weights need no new graphs, but sizes that had come only once may come again.
      expect(recorded.graphs).toBeGreaterThanOrEqual(4);
      expect(recorded.calls.graphs).toBeLessThanOrEqual(10);
      expect(recorded.calls.graphLaunches).toBeGreaterThan(3 * recorded.calls.graphs);
    });
  });

  test("gives the same bits in any order of streams, warps and copies", async () => {
    const run = (settings: Settings) => {
      restart(settings);
      return withEngine({ ...bf16, maxBatch: 9 }, generate);
    };
    const eager = await run({ lazy: 0 });
    expect(await run({ seed: 5, randomInterleaving: 1, asyncCopies: 2 })).toEqual(eager);
  });

  test("gives a request the same bits whoever fills up the batch, or nobody", async () => {
    const first = (count: number) =>
      withEngine(bf16, (engine) => Promise.all(Array.from({ length: count }, (_, i) => ask(engine, i, 6))));
    const eight = await first(8);
    // Batches of 8 rows, of which 3, 2 and 1 pad.
    for (const count of [5, 6, 7]) expect(await first(count)).toEqual(eight.slice(0, count));
  });

  test("launches one graph and makes two copies per step", async () => {
    await withEngine(bf16, async (engine) => {
      await ask(engine, 1, 3);
      const callsOf = async (maxNewTokens: number) => {
        const before = Object.entries(emulator.calls(0));
        const { tokens } = await ask(engine, 1, maxNewTokens);
        const after = emulator.calls(0);
        const calls = before.map(([name, count]) => [name, after[name as keyof typeof after] - count]);
        return { steps: tokens.length, ...Object.fromEntries(calls) };
      };
      const [short, long] = [await callsOf(2), await callsOf(12)];
      const difference = Object.keys(long).map((name) => [name, long[name] - short[name]]);
      expect(Object.fromEntries(difference)).toEqual({
        ...{ steps: 10, graphLaunches: 10, copies: 20, waits: 10 },
        ...{ kernelLaunches: 0, products: 0, fills: 0, graphs: 0 },
      });
    });
  });

  test("leaves a profile all the ops of a step", async () => {
    await withEngine(bf16, async (engine) => {
      const responses = await generate(engine);
      const recorded = emulator.calls(0).graphLaunches;
      expect(recorded).toBeGreaterThan(0);
      const { profile, result } = await engine.profile(() => generate(engine));
      expect(result).toEqual(responses);
      expect(emulator.calls(0).graphLaunches).toBe(recorded);
      const decoded = profile.ops.find(({ op, call }) => op === "attention_decode" && call === "decode")!;
      // Two layers; the longest response has 14 tokens, the first of which needs no step.
      expect(decoded.calls).toBe(2 * profile.calls.find(({ call }) => call === "decode")!.calls);
    });
    expect(emulator.memory(0)).toMatchObject({ currentBytes: 0, allocations: 0 });
  });
});
