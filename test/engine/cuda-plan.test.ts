import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { knownModels } from "../../src/models/known-models.js";
import { Engine } from "../../src/native/engine.js";
import type { ModelSpec } from "../../src/native/model-spec.js";
import type { EngineOptions, MemoryUse, Prompt } from "../../src/native/types.js";
import { planMemory } from "../../src/train/plan.js";
import { useEmulatedCuda, withoutCuda } from "../emulated-cuda.js";
import { emulator } from "../emulator/cuda.js";
import { prompt, tinySpec } from "../native/tiny-engine.js";

const sequences = [
  [3, 4, 5],
  [6, 7],
  [8, 9, 10, 11],
].map((text) => ({
  prompt: prompt(text),
  response: Int32Array.of(12, 13, 14),
}));

/** A rollout and an update, and what the engine held at most. */
async function play(options: Partial<EngineOptions>): Promise<MemoryUse> {
  const engine = await Engine.create({ model: tinySpec, device: "cuda", threads: 2, ...options });
  try {
    await Promise.all(
      sequences.map(({ prompt }, i) =>
        engine.generate({ prompt, sampling: { temperature: 1 }, randomKey: [i, 7], maxNewTokens: 3 }),
      ),
    );
    const scores = await engine.forward(sequences, { temperature: 0.5, dropoutKey: [1, 2] });
    await engine.backward(scores, { logProbs: new Float32Array(scores.logProbs.length).fill(0.01) });
    await engine.step({ groups: [{ components: ["decoder"], learningRate: 1e-4 }] });
    return engine.memory();
  } finally {
    engine.dispose();
  }
}

/** What an engine holds, and held at most, when all waves of requests have been generated. */
async function generate(
  options: Partial<EngineOptions> & { model: ModelSpec },
  waves: readonly (readonly { prompt: Prompt; maxNewTokens: number }[])[],
): Promise<MemoryUse> {
  const engine = await Engine.create({ device: "cuda", threads: 2, ...options });
  try {
    for (const wave of waves) {
      const responses = await Promise.all(
        wave.map((one, i) =>
          engine.generate({ ...one, sampling: { temperature: 1, topK: 1 }, randomKey: [i, 7] }),
        ),
      );
      // Otherwise steps of other sizes than are meant.
      expect(responses.map(({ tokens }) => tokens.length)).toEqual(wave.map((one) => one.maxNewTokens));
    }
    return engine.memory();
  } finally {
    engine.dispose();
  }
}

/** The i-th prompt, short or long. */
type Ask = (i: number, long: boolean, maxNewTokens: number) => { prompt: Prompt; maxNewTokens: number };

/**
 * Steps of every number of rows up to 16, with one page and with two, in orders that differ from wave to wave: few long
 * responses before many short ones, the other way around, and requests that take the place of those that end.
 */
function ragged(ask: Ask) {
  const short = (lengths: readonly number[]) => lengths.map((length, i) => ask(i, false, length));
  return [
    [ask(0, true, 14)],
    short([2, 5, 3, 3, 4, 4]),
    [ask(1, true, 14), ask(2, true, 9), ask(3, true, 7)],
    short([4, 9, 6, 12, 3, 8, 5, 7, 10, 9, 11, 13, 12, 14]),
    [ask(4, true, 11), ...short([4, 9, 6, 12, 3, 8, 5, 7, 10])],
    Array.from({ length: 9 }, (_, i) => ask(i, true, 6 + i)),
    short([3, 5, 4, 2, 9, 8, 6, 6, 7]),
  ];
}

/** As many long responses side by side as there can be, and once more, to other prompts. */
const largest = (ask: Ask) =>
  [0, 9].map((first) => Array.from({ length: 9 }, (_, i) => ask(first + i, true, 14)));

/** At no time more, and in the end, when nothing is left but what steps keep for the next ones, just as much. */
function expectPlanned(held: MemoryUse, planned: MemoryUse): void {
  for (const [purpose, { peakBytes }] of Object.entries(held))
    expect(peakBytes, purpose).toBeLessThanOrEqual(planned[purpose as keyof MemoryUse].peakBytes);
  for (const purpose of ["activations", "workspace"] as const)
    expect(held[purpose].currentBytes, purpose).toBe(planned[purpose].currentBytes);
}

describe.skipIf(withoutCuda !== "")(`memory on the emulated GPU${withoutCuda}`, () => {
  beforeAll(() => useEmulatedCuda());
  beforeEach(() => emulator.configure({ interpreterThreads: 2 }));

  test.each<[string, Partial<EngineOptions>]>([
    ["in fp32", {}],
    ["in bf16", { precision: "bf16" }],
    [
      "in bf16 with adapters and a frozen vision encoder",
      { precision: "bf16", trainable: { vision: "frozen", decoder: "lora" }, lora: { rank: 8, alpha: 4 } },
    ],
    // Rows of adapters then begin at addresses that are multiples of 2 bytes only.
    [
      "in bf16 with adapters of an odd rank",
      { precision: "bf16", trainable: { vision: "lora", decoder: "lora" }, lora: { rank: 3, alpha: 4 } },
    ],
    [
      "in bf16 with adapters that drop something",
      {
        precision: "bf16",
        trainable: { projector: "lora", decoder: "lora" },
        lora: { rank: 8, alpha: 4, dropout: 0.1 },
      },
    ],
  ])("is what a plan counts, to the byte, %s", async (_, options) => {
    const planned = await play({ ...options, dryRun: true });
    const held = await play(options);
    expect(emulator.violation(0)).toBe("");
    expect(held).toEqual(planned);
  });

  test.each<[string, Partial<EngineOptions>]>([
    ["in fp32", {}],
    ["in bf16", { precision: "bf16" }],
    [
      "in bf16 with adapters of an odd rank",
      { precision: "bf16", trainable: { vision: "lora", decoder: "lora" }, lora: { rank: 3, alpha: 4 } },
    ],
  ])("is, whoever joins and leaves, what the largest steps take, %s", async (_, options) => {
    // A prompt of 60 tokens, with those of its image: the fifth of its response begins a page.
    const text = (i: number, long: boolean) =>
      Array.from({ length: long ? 56 : 2 }, (_, j) => 3 + ((i + j) % 20));
    const ask = (i: number, long: boolean, maxNewTokens: number) => ({
      prompt: prompt(text(i, long)),
      maxNewTokens,
    });
    const all = { ...options, maxBatch: 9, model: { ...tinySpec, endTokenId: 30 } };
    const planned = await generate({ ...all, dryRun: true }, largest(ask));
    const held = await generate(all, ragged(ask));
    expect(emulator.violation(0)).toBe("");
    expectPlanned(held, planned);
  });

  test("is what is planned for generating alone, prompts after prompts", async () => {
    const ask = (i: number) => ({ prompt: prompt([3 + i, 4, 5, 6]), maxNewTokens: 3 });
    const waves = [0, 2, 4].map((first) => [ask(first), ask(first + 1)]);
    const held = await generate({ model: { ...tinySpec, endTokenId: 30 } }, waves);
    const planned = await planMemory(
      { model: tinySpec, options: { threads: 2 } },
      { promptTokens: 8, responseTokens: 3, responses: 2, prompts: 6 },
    );
    const peaks = Object.entries(held).map(([purpose, { peakBytes }]) => [purpose, peakBytes]);
    expect(Object.fromEntries(peaks)).toEqual(planned);
  });
});

describe("the plan of generating with LLaVA-1.6-Mistral-7B", () => {
  test.each([16, 3])("holds for steps of all smaller sizes too, with adapters of rank %i", async (rank) => {
    const model = knownModels["llava-v1.6-mistral-7b"]!;
    const adapted = { trainable: { vision: "lora", decoder: "lora" }, lora: { rank, alpha: 4 } } as const;
    const options = { model, maxBatch: 9, precision: "bf16", dryRun: true, ...adapted } as const;
    const image = { pixels: new Float32Array(3 * 336 ** 2) };
    const ask = (i: number, long: boolean, maxNewTokens: number) => {
      // Of all prompts four fit into one pass. Long ones go on from 16 pages, which stand for 32, to a 17th.
      const tokens = new Int32Array(long ? 1016 : 900).fill(i).fill(model.imageTokenId!, 0, 576);
      return { prompt: { tokens, images: [image] }, maxNewTokens };
    };
    expectPlanned(await generate(options, ragged(ask)), await generate(options, largest(ask)));
  });
});
