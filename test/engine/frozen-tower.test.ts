import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { Component, Precision, Sequence, Trainable } from "../../src/native/types.js";
import { tinySpec } from "../native/tiny-engine.js";

/** Features of a frozen vision tower are computed once per image and kept: nothing of that may show. */

const scratch = mkdtempSync(join(tmpdir(), "sightline-"));
const engines: Engine[] = [];
afterAll(() => {
  for (const engine of engines) engine.dispose();
  rmSync(scratch, { recursive: true });
});

async function create(
  precision: Precision,
  trainable: Partial<Record<Component, Trainable>>,
  seed: number,
): Promise<Engine> {
  const engine = await Engine.create({ model: tinySpec, threads: 2, precision, seed, trainable });
  engines.push(engine);
  return engine;
}

const image = (phase: number) => ({
  pixels: Float32Array.from({ length: 3 * 8 * 8 }, (_, i) => Math.sin(i + phase)),
});

/** Images that come back, in other orders, beside new ones. */
const batches: Sequence[][] = [
  [0, 1, 2],
  [2, 3],
  [1, 0, 4, 3],
].map((phases) =>
  phases.map((phase) => ({
    prompt: { tokens: Int32Array.of(1, 1, 1, 1, 3 + phase), images: [image(phase)] },
    response: Int32Array.of(5, 6 + phase, 2),
  })),
);

/** Log-probs of each batch, with an optimizer step of the decoder after each. */
async function train(engine: Engine): Promise<number[][]> {
  const seen: number[][] = [];
  for (const batch of batches) {
    const scores = await engine.forward(batch);
    seen.push([...scores.logProbs, ...scores.values]);
    await engine.backward(scores, { logProbs: scores.logProbs.map((_, i) => Math.cos(i)) });
    await engine.step({ groups: [{ components: ["decoder"], learningRate: 0.01 }] });
    const completion = await engine.generate({
      prompt: batch[0]!.prompt,
      sampling: { temperature: 1 },
      randomKey: [1, 2],
      maxNewTokens: 6,
    });
    seen.push([...completion.logProbs, completion.value]);
  }
  return seen;
}

const towers = [
  { title: "a frozen vision encoder", trainable: { vision: "frozen" } },
  { title: "a frozen vision encoder and projector", trainable: { vision: "frozen", projector: "frozen" } },
] as const;
const precisions = ["fp32", "bf16"] as const;

describe.each(towers.flatMap((tower) => precisions.map((precision) => ({ ...tower, precision }))))(
  "$title in $precision",
  ({ trainable, precision }) => {
    test("trains the decoder as a tower that is encoded every time", async () => {
      const whole = await train(await create(precision, {}, 3));
      expect(await train(await create(precision, trainable, 3))).toEqual(whole);
    });

    test("is encoded anew when its weights are replaced", async () => {
      const other = await create(precision, {}, 8);
      const model = join(scratch, "other.safetensors");
      await other.save({ model });
      const engine = await create(precision, trainable, 3);
      await engine.forward(batches[0]!, { keepTape: false });
      await engine.load({ model });
      const { logProbs } = await engine.forward(batches[0]!, { keepTape: false });
      expect([...logProbs]).toEqual([...(await other.forward(batches[0]!, { keepTape: false })).logProbs]);
    });
  },
);

test("features that no trained component computes get no gradient", async () => {
  const engine = await create("fp32", { vision: "frozen", projector: "frozen" }, 3);
  const [batch] = batches as [Sequence[]];
  const { profile } = await engine.profile(async () => {
    const scores = await engine.forward(batch);
    await engine.backward(scores, { logProbs: scores.logProbs });
  });
  const embedding = profile.ops.find(({ op }) => op === "embed_backward");
  // Of every sequence, one prompt token that is no image and two of the response have a row.
  const tokens = batch.length * (1 + 2);
  expect(embedding?.flops).toBe(2 * tokens * tinySpec.decoder.width);
});
