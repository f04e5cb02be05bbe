import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { EngineOptions, MemoryUse } from "../../src/native/types.js";
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
});
