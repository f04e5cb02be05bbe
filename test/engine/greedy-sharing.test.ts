import { afterAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { Completion, GenerateRequest } from "../../src/native/types.js";
import { createTinyEngine, everything, prompt, request, tinySpec } from "../native/tiny-engine.js";

/** Equal greedy requests are decoded once: nobody can tell but by the work done. */

const greedy = (overrides: Partial<GenerateRequest> = {}): GenerateRequest =>
  request({ sampling: { temperature: 0 }, maxNewTokens: 12, ...overrides });

const engines: Engine[] = [];
async function create(): Promise<Engine> {
  const engine = await createTinyEngine({ seed: 5 });
  engines.push(engine);
  return engine;
}
afterAll(() => {
  for (const engine of engines) engine.dispose();
});

/** Floating-point operations of one batch of requests, on an engine that has seen none of them. */
async function workOf(requests: readonly GenerateRequest[]): Promise<number> {
  const engine = await create();
  const { profile } = await engine.profile(() => Promise.all(requests.map((item) => engine.generate(item))));
  return profile.ops.reduce((sum, { flops }) => sum + flops, 0);
}

const plain = ({ tokens, logProbs, value, finishReason }: Completion) => ({
  tokens: [...tokens],
  logProbs: [...logProbs],
  value,
  finishReason,
});

describe("equal greedy requests", () => {
  test("take the work of one, together and one after the other", async () => {
    const one = await workOf([greedy()]);
    expect(await workOf(Array.from({ length: 9 }, (_, i) => greedy({ randomKey: [i, 3] })))).toBe(one);

    const engine = await create();
    const first = await engine.generate(greedy());
    const { result, profile } = await engine.profile(() => engine.generate(greedy()));
    expect(plain(result)).toEqual(plain(first));
    expect(profile.ops).toEqual([]);
  });

  test("do not share with requests of another length, temperature or prompt", async () => {
    const engine = await create();
    const requests = [
      greedy(),
      greedy({ maxNewTokens: 5 }),
      request({ sampling: { temperature: 1 }, maxNewTokens: 12 }),
      greedy({ prompt: prompt([9]) }),
      greedy(),
    ];
    const together = await Promise.all(requests.map((item) => engine.generate(item)));
    for (const [i, item] of requests.entries()) {
      const alone = await create();
      expect(plain(await alone.generate(item)), `request ${i}`).toEqual(plain(together[i]!));
    }
  });

  test("outlive the one among them that is given up", async () => {
    // Large enough that a response takes far longer than it takes to give up on it.
    const model = { ...tinySpec, decoder: { ...tinySpec.decoder, width: 512, layers: 8, mlpWidth: 1024 } };
    const engine = await Engine.create({ model, seed: 5, threads: 1 });
    engines.push(engine);
    const long = greedy({ maxNewTokens: 200 });
    const alone = await engine.generate(greedy({ maxNewTokens: 199 }));

    const controller = new AbortController();
    const given = engine.generate(long, controller.signal);
    const outcome = expect(given).rejects.toThrow("no longer wanted");
    const kept = engine.generate(long);
    // Admitted after both, and done after one step.
    await engine.generate(greedy({ maxNewTokens: 1 }));
    controller.abort(new Error("no longer wanted"));
    await outcome;
    expect([...(await kept).tokens.slice(0, 199)]).toEqual([...alone.tokens]);
  });

  test("are answered anew after the weights have changed", async () => {
    const engine = await create();
    const before = await engine.generate(greedy());
    const scores = await engine.forward([{ prompt: prompt(), response: before.tokens }]);
    await engine.backward(scores, { logProbs: scores.logProbs.map(() => 1) });
    await engine.step({ groups: [{ ...everything, learningRate: 0.05 }] });
    const after = await engine.generate(greedy());
    expect([...after.logProbs]).not.toEqual([...before.logProbs]);
  });
});
