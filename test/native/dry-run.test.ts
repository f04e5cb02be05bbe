import { describe, expect, it } from "vitest";
import type { Engine } from "../../src/native/engine.js";
import type { ModelSpec } from "../../src/native/model-spec.js";
import type { EngineOptions, MemoryUse, Profile } from "../../src/native/types.js";
import { createTinyEngine, prompt, request, tinySpec } from "./tiny-engine.js";

// A rollout and an update of some size: several prompts, one of them shared, pages that fill, two optimizer groups.
async function work(engine: Engine): Promise<void> {
  const prompts = [
    prompt([3, 4, 5]),
    prompt([6, 7]),
    prompt(Array.from({ length: 70 }, (_, i) => 3 + (i % 20))),
  ];
  await Promise.all(
    prompts.flatMap((p, i) =>
      [0, 1].map((copy) =>
        engine.generate(
          request({
            prompt: p,
            sampling: { temperature: 1, topK: 1 },
            randomKey: [i, copy],
            maxNewTokens: 12,
          }),
        ),
      ),
    ),
  );
  for (let step = 0; step < 2; step++) {
    const response = Int32Array.of(5, 6, 7, 8);
    const forward = await engine.forward(
      prompts.flatMap((p) => [0, 1].map(() => ({ prompt: p, response }))),
      { entropies: true },
    );
    const { length } = forward.logProbs;
    await engine.backward(forward, { logProbs: new Float32Array(length), values: new Float32Array(6) });
    await engine.step({
      groups: [
        { components: ["decoder", "projector"], learningRate: 0 },
        { components: ["value_head"], learningRate: 0 },
      ],
    });
  }
}

// A dry run draws token 0 until the response is full. In the real one the end token must not be drawn either: the model's
// favourite tokens are others.
const spec: ModelSpec = { ...tinySpec, endTokenId: 30 };

async function observe(options: Partial<EngineOptions>): Promise<{ memory: MemoryUse; profile: Profile }> {
  const engine = await createTinyEngine({ model: spec, ...options });
  try {
    const { profile } = await engine.profile(() => work(engine));
    return { memory: engine.memory(), profile };
  } finally {
    engine.dispose();
  }
}

const counts = ({ ops }: Profile) =>
  ops.map(({ op, call, calls, flops, bf16Flops, bytes }) => ({ op, call, calls, flops, bf16Flops, bytes }));

describe.each<[string, Partial<EngineOptions>]>([
  ["everything trained", {}],
  ["bf16", { precision: "bf16" }],
  [
    "adapters, frozen vision",
    { trainable: { decoder: "lora", vision: "frozen" }, lora: { rank: 2, alpha: 4 } },
  ],
  ["activation checkpointing", { activationCheckpointing: true }],
])("a dry run with %s", (_, options) => {
  it("counts the bytes that the real run takes, purpose by purpose", async () => {
    const dry = await observe({ ...options, dryRun: true });
    const real = await observe(options);
    for (const purpose of [
      "weights",
      "adapter",
      "gradients",
      "optimizer",
      "activations",
      "kv_cache",
    ] as const)
      expect(dry.memory[purpose], purpose).toEqual(real.memory[purpose]);
  });

  it("counts the work that the real run does, op by op", async () => {
    const dry = await observe({ ...options, dryRun: true });
    const real = await observe(options);
    expect(counts(dry.profile)).toEqual(counts(real.profile));
  });
});

describe("a dry run", () => {
  it("needs no memory for what it counts", async () => {
    const decoder = { ...spec.decoder, layers: 64, width: 8192, mlpWidth: 32_768 };
    const before = process.memoryUsage.rss();
    const engine = await createTinyEngine({ model: { ...spec, decoder }, dryRun: true });
    expect(engine.memory().weights.currentBytes).toBeGreaterThan(2e11);
    expect(process.memoryUsage.rss() - before).toBeLessThan(1e8);
    engine.dispose();
  });

  it("keeps to the memory limit before anything is taken", async () => {
    await expect(createTinyEngine({ dryRun: true, memoryLimitBytes: 10_000 })).rejects.toMatchObject({
      code: "OUT_OF_MEMORY",
      message: expect.stringContaining("memoryLimitBytes"),
    });
  });
});
