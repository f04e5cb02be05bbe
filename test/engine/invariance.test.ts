import { afterAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { Completion, EngineOptions, GenerateRequest } from "../../src/native/types.js";
import { everything, prompt, request, tinySpec } from "../native/tiny-engine.js";

/** 24 requests over 7 prompts of different lengths, with every kind of sampling; some cross a page of the KV cache. */
const requests: GenerateRequest[] = Array.from({ length: 24 }, (_, i) =>
  request({
    prompt: prompt(Array.from({ length: 1 + 17 * (i % 7) }, (_, t) => 3 + ((t * (1 + (i % 7))) % 29))),
    sampling: { temperature: [1, 0.5, 0, 2][i % 4]!, topK: i % 3 === 0 ? 5 : 0, topP: i % 5 === 0 ? 0.8 : 1 },
    randomKey: [i, 99],
    maxNewTokens: 4 + 3 * i,
  }),
);

const engines: Engine[] = [];
async function create(options: Omit<EngineOptions, "model">): Promise<Engine> {
  const engine = await Engine.create({ model: tinySpec, seed: 3, ...options });
  engines.push(engine);
  return engine;
}
afterAll(() => {
  for (const engine of engines) engine.dispose();
});

const plain = ({ tokens, logProbs, value, finishReason }: Completion) => ({
  tokens: [...tokens],
  logProbs: [...logProbs],
  value,
  finishReason,
});

async function inOrder(engine: Engine, order: readonly number[]): Promise<Completion[]> {
  const completions: Completion[] = [];
  await Promise.all(
    order.map(async (i) => {
      completions[i] = await engine.generate(requests[i]!);
    }),
  );
  return completions;
}

const forwards = requests.map((_, i) => i);

describe.each(["fp32", "bf16"] as const)("a request's completion in %s", (precision) => {
  test("is the same alone and in any company, order, batch size and number of threads", async () => {
    const engine = await create({ precision, threads: 2 });
    const together = (await inOrder(engine, forwards)).map(plain);

    const single = await create({ precision, threads: 1 });
    const alone: Completion[] = [];
    for (const item of requests) alone.push(await single.generate(item));
    expect(alone.map(plain)).toEqual(together);

    const backwards = await inOrder(
      await create({ precision, threads: 3, maxBatch: 5 }),
      forwards.toReversed(),
    );
    expect(backwards.map(plain)).toEqual(together);
  });

  test("has exactly the log-probs and values that forward computes, before and after a step", async () => {
    const engine = await create({ precision, threads: 2 });
    for (const round of ["initial", "stepped"]) {
      for (const temperature of [1, 0.5]) {
        const chosen = requests.map((item, i) => ({
          ...item,
          sampling: { temperature },
          randomKey: [i, 7] as const,
        }));
        const completions = await Promise.all(chosen.map((item) => engine.generate(item)));
        const batch = completions.map(({ tokens }, i) => ({ prompt: chosen[i]!.prompt, response: tokens }));
        const scores = await engine.forward(batch, { temperature, keepTape: false });
        expect([...scores.logProbs], round).toEqual(completions.flatMap(({ logProbs }) => [...logProbs]));
        expect([...scores.values], round).toEqual(completions.map(({ value }) => value));

        const reversed = await engine.forward(batch.slice(3, 9).toReversed(), {
          temperature,
          keepTape: false,
        });
        const expected = completions.slice(3, 9).toReversed();
        expect([...reversed.logProbs]).toEqual(expected.flatMap(({ logProbs }) => [...logProbs]));
      }
      const scores = await engine.forward([{ prompt: prompt(), response: Int32Array.of(3, 4, 2) }]);
      await engine.backward(scores, { logProbs: Float32Array.of(-1, -1, -1), values: Float32Array.of(1) });
      await engine.step({ groups: [{ ...everything, learningRate: 0.05 }] });
    }
  });
});

describe.each(["fp32", "bf16"] as const)("a training step in %s", (precision) => {
  test("leaves the same weights on any number of threads, and with recomputed activations", async () => {
    const batch = Array.from({ length: 20 }, (_, i) => ({
      prompt: requests[i]!.prompt,
      response: Int32Array.from({ length: 1 + 5 * (i % 6) }, (_, t) => 3 + ((i + t) % 29)),
    }));
    const results: number[][] = [];
    for (const [threads, activationCheckpointing] of [
      [1, false],
      [2, false],
      [3, true],
    ] as const) {
      const engine = await create({ precision, threads, activationCheckpointing });
      for (let step = 0; step < 3; step++) {
        const scores = await engine.forward(batch, { temperature: 0.7, entropies: true });
        await engine.backward(scores, {
          logProbs: scores.logProbs.map((_, i) => Math.sin(i)),
          values: scores.values.map((_, i) => Math.cos(i)),
          entropies: scores.logProbs.map(() => 0.1),
        });
        await engine.step({ groups: [{ ...everything, learningRate: 0.01, maxGradientNorm: 1 }] });
      }
      results.push([...(await engine.forward(batch, { keepTape: false })).logProbs]);
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  test("does not mind how gradients are accumulated over passes", async () => {
    const engine = await create({ precision, threads: 2 });
    const whole = await engine.forward([
      { prompt: prompt([5]), response: Int32Array.of(3, 4) },
      { prompt: prompt([6]), response: Int32Array.of(7) },
    ]);
    await engine.backward(whole, { logProbs: Float32Array.of(1, 2, 3) });
    const { gradientNorms: together } = await engine.step({ groups: [{ ...everything, learningRate: 0 }] });
    for (const [text, response, gradient] of [
      [[5], [3, 4], [1, 2]],
      [[6], [7], [3]],
    ] as const) {
      const part = await engine.forward([{ prompt: prompt(text), response: Int32Array.from(response) }]);
      await engine.backward(part, { logProbs: Float32Array.from(gradient) });
    }
    const { gradientNorms: apart } = await engine.step({ groups: [{ ...everything, learningRate: 0 }] });
    // The same sums in another order.
    expect(Math.abs(apart[0]! / together[0]! - 1)).toBeLessThan(1e-5);
  });
});
