import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { EngineOptions, ForwardResult, RandomKey, Sequence } from "../../src/native/types.js";
import { useEmulatedCuda, withoutCuda } from "../emulated-cuda.js";
import { emulator } from "../emulator/cuda.js";
import { readSafetensors } from "../golden/safetensors.js";
import { native } from "../io/native-safetensors.js";
import { everything, expectFailure, prompt, sequence, tinySpec } from "../native/tiny-engine.js";
import { promptKey, responseKey } from "./dropout-keys.js";
import { ReferenceVlm } from "./reference-vlm.js";

/**
 * Dropout on the input of adapters, in the whole model, against the model in double precision with masks from the documented
 * formula: every row must be dropped by its own key, in sharing, trimming, caching and recomputing code alike.
 */
const lora = { rank: 3, alpha: 4.5, dropout: 0.3 };
/** Two layers: the last one computes fewer rows than the others. */
const model = { ...tinySpec, decoder: { ...tinySpec.decoder, layers: 2 } };
const adapted = { vision: "lora", projector: "lora", decoder: "lora", value_head: "lora" } as const;
const seed = 5;
const dropoutKey: RandomKey = [17, 4_000_000_000];

const otherImage = { pixels: Float32Array.from({ length: 3 * 8 * 8 }, (_, i) => Math.cos(3 * i)) };
/** The first and the third share a prompt; the second shows two images, the last another one under the first's text. */
const batch: Sequence[] = [
  sequence(9),
  {
    prompt: {
      tokens: Int32Array.of(3, 1, 1, 1, 1, 4, 1, 1, 1, 1, 5),
      images: [...prompt().images, otherImage],
    },
    response: Int32Array.of(6, 7, 8),
  },
  sequence(5),
  { prompt: { ...prompt(), images: [otherImage] }, response: Int32Array.of(3) },
];

/** Between results that should be the same: 2^-24 of each of the sums of at most 64 terms in a handful of layers. */
const rounding = 64 * 8 * 2 ** -24;

const scratch = mkdtempSync(join(tmpdir(), "sightline-"));
const weightsFile = join(scratch, "weights.safetensors");
const engines: Engine[] = [];
afterAll(() => {
  for (const engine of engines) engine.dispose();
  rmSync(scratch, { recursive: true });
});

async function create(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await Engine.create({ model, threads: 2, seed, trainable: adapted, lora, ...options });
  engines.push(engine);
  return engine;
}

/** An engine with weights in which both factors of every adapter matter, and the reference with the same. */
async function createBoth(
  options: Partial<EngineOptions> = {},
): Promise<{ engine: Engine; reference: ReferenceVlm }> {
  const engine = await create(options);
  await engine.save({ model: weightsFile });
  const initial = readSafetensors(weightsFile);
  const tensors = engine.parameters().map(({ name, shape }) => {
    const values = Float32Array.from(initial.get(name)!);
    const starts = name.endsWith("lora_B.weight") || name === "value_head.layers.1.weight";
    return { name, shape, data: starts ? values.map((_, i) => 0.15 * Math.sin(3 * i + 1)) : values };
  });
  native.writeSafetensors(weightsFile, tensors, {});
  await engine.load({ model: weightsFile });
  return {
    engine,
    reference: new ReferenceVlm(model, engine.parameters(), readSafetensors(weightsFile), lora),
  };
}

const scored = (reference: ReferenceVlm, key: RandomKey) =>
  batch.map((item, i) =>
    reference.score(item, { prompt: promptKey(key, item.prompt), response: responseKey(key, i) }),
  );

function expectAgreement(
  scores: ForwardResult,
  expected: readonly { logProbs: number[]; value: number }[],
): void {
  const logProbs = expected.flatMap((one) => one.logProbs);
  expect(scores.logProbs.length).toBe(logProbs.length);
  for (const [i, value] of logProbs.entries())
    expect(Math.abs(scores.logProbs[i]! - value), `log-prob ${i}`).toBeLessThan(rounding);
  for (const [i, { value }] of expected.entries())
    expect(Math.abs(scores.values[i]! - value), `value ${i}`).toBeLessThan(rounding);
}

/** A loss over everything that `forward` returns. */
const coefficients = { logProb: (i: number) => Math.cos(i), value: (i: number) => 1 + i };

async function differentiate(engine: Engine, name: string) {
  const scores = await engine.forward(batch, { dropoutKey });
  await engine.backward(scores, {
    logProbs: scores.logProbs.map((_, i) => coefficients.logProb(i)),
    values: scores.values.map((_, i) => coefficients.value(i)),
  });
  await engine.step({ groups: [{ ...everything, learningRate: 0 }], betas: [0, 0.999] });
  const optimizer = join(scratch, `${name}.safetensors`);
  await engine.save({ model: join(scratch, "unused.safetensors"), optimizer });
  return { scores, gradients: readSafetensors(optimizer) };
}

/** Of a gradient; tiny ones are held against a tolerance of their own. */
const largestOf = (values: ArrayLike<number>) =>
  Array.from(values).reduce((most, v) => Math.max(most, Math.abs(v)), 1e-3);

const plain = (scores: ForwardResult) => [...scores.logProbs, ...scores.values];

test("scoring drops what the formula says", async () => {
  const { engine, reference } = await createBoth();
  for (const key of [dropoutKey, [0, 1]] as const)
    expectAgreement(
      await engine.forward(batch, { dropoutKey: key, keepTape: false }),
      scored(reference, key),
    );
  // What was checked is not lost in the tolerance.
  const other = plain(await engine.forward(batch, { dropoutKey: [0, 2], keepTape: false }));
  const one = plain(await engine.forward(batch, { dropoutKey, keepTape: false }));
  for (const [i, value] of one.entries()) expect(Math.abs(value - other[i]!)).toBeGreaterThan(4 * rounding);
});

test("the features that a frozen vision encoder keeps are not dropped, those of an adapted projector are", async () => {
  const { engine, reference } = await createBoth({
    trainable: { ...adapted, vision: "frozen", value_head: "all" },
  });
  for (const key of [dropoutKey, [0, 1]] as const)
    expectAgreement(
      await engine.forward(batch, { dropoutKey: key, keepTape: false }),
      scored(reference, key),
    );
});

test("gradients are those of the model with the same masks", async () => {
  const { engine } = await createBoth();
  const { gradients } = await differentiate(engine, "cpu");
  const weights = new Map(
    [...readSafetensors(weightsFile)].map(([name, values]) => [name, Float64Array.from(values)]),
  );
  const reference = new ReferenceVlm(model, engine.parameters(), weights, lora);
  const loss = () => {
    let sum = 0;
    let i = 0;
    for (const [b, { logProbs, value }] of scored(reference, dropoutKey).entries()) {
      for (const logProb of logProbs) sum += coefficients.logProb(i++) * logProb;
      sum += coefficients.value(b) * value;
    }
    return sum;
  };
  const step = 1e-4;
  let checked = 0;
  for (const { name, trainable } of engine.parameters()) {
    if (!trainable) continue;
    const received = gradients.get(`${name}.first_moment`)!;
    const largest = largestOf(received);
    const values = weights.get(name)!;
    for (const probe of [0.1, 0.5, 0.9]) {
      const i = Math.floor(probe * values.length);
      const at = values[i]!;
      const lossAt = (x: number) => {
        values[i] = x;
        return loss();
      };
      const difference = (lossAt(at + step) - lossAt(at - step)) / (2 * step);
      values[i] = at;
      expect(Math.abs(received[i]! - difference) / largest, `${name}[${i}]`).toBeLessThan(8 * rounding);
      checked += 1;
    }
  }
  expect(checked).toBe(3 * 2 * (6 + 2 + 2 * 7 + 2));
});

test("neither threads nor recomputed activations change a bit", async () => {
  const runs: { scores: number[]; gradients: Map<string, number[]> }[] = [];
  for (const [threads, activationCheckpointing] of [
    [1, false],
    [3, true],
  ] as const) {
    const { engine } = await createBoth({ threads, activationCheckpointing });
    const { scores, gradients } = await differentiate(engine, "run");
    runs.push({
      scores: plain(scores),
      gradients: new Map([...gradients].map(([name, values]) => [name, [...values]])),
    });
  }
  expect(runs[1]).toEqual(runs[0]);
});

describe("generation", () => {
  const requests = [prompt(), prompt([6, 7]), prompt()].map((item, i) => ({
    prompt: item,
    sampling: { temperature: i === 1 ? 0 : 1 },
    randomKey: [i, 7] as const,
    maxNewTokens: 40,
  }));

  test("drops a response by the request's key, a prompt by seed and steps", async () => {
    const { engine, reference } = await createBoth();
    for (const steps of [0, 1]) {
      const completions = await Promise.all(requests.map((request) => engine.generate(request)));
      for (const [i, { tokens, logProbs, value }] of completions.entries()) {
        const { prompt, randomKey } = requests[i]!;
        const expected = reference.score(
          { prompt, response: tokens },
          { prompt: promptKey([seed, steps], prompt), response: randomKey },
        );
        expect(Math.abs(value - expected.value)).toBeLessThan(rounding);
        for (const [t, logProb] of expected.logProbs.entries())
          expect(Math.abs(logProbs[t]! - logProb), `${steps} ${i} ${t}`).toBeLessThan(rounding);
      }
      // Counts, and leaves the weights as they are.
      await engine.backward(await engine.forward(batch, { dropoutKey }), {
        logProbs: new Float32Array(18),
      });
      await engine.step({ groups: [{ ...everything, learningRate: 0 }] });
    }
  });

  test("gives a request the same alone and in company, and shares greedy responses no more", async () => {
    const { engine } = await createBoth();
    const together = await Promise.all(requests.map((request) => engine.generate(request)));
    const { engine: single } = await createBoth({ threads: 1, maxBatch: 1 });
    for (const [i, request] of requests.entries())
      expect(await single.generate(request)).toEqual(together[i]);
    const greedy = { ...requests[1]!, randomKey: [8, 8] as const };
    const again = await Promise.all([engine.generate(requests[1]!), engine.generate(greedy)]);
    expect(again[0]).toEqual(together[1]);
    expect(again[1]!.logProbs).not.toEqual(again[0]!.logProbs);
  });

  test("goes on alike from saved optimizer state", async () => {
    const { engine } = await createBoth();
    await engine.backward(await engine.forward(batch, { dropoutKey }), {
      logProbs: new Float32Array(18).fill(1),
    });
    await engine.step({ groups: [everything] });
    const files = {
      model: join(scratch, "stepped.safetensors"),
      optimizer: join(scratch, "state.safetensors"),
    };
    await engine.save(files);
    const resumed = await create();
    await resumed.load(files);
    expect(await resumed.generate(requests[0]!)).toEqual(await engine.generate(requests[0]!));
  });
});

describe("options", () => {
  test("a rate outside [0, 1) and a pass without a key are refused", async () => {
    for (const dropout of [-0.1, 1, Number.NaN])
      await expect(create({ lora: { ...lora, dropout } })).rejects.toThrow(
        /^lora\.dropout: expected a number in \[0, 1\)/,
      );
    const engine = await create();
    await expectFailure(
      engine.forward(batch),
      "INVALID_ARGUMENT",
      /^options\.dropoutKey: expected two unsigned/,
    );
    await expectFailure(
      engine.forward(batch, { dropoutKey: [1] as unknown as RandomKey }),
      "INVALID_ARGUMENT",
      "options.dropoutKey: expected two unsigned 32-bit integers, received 1",
    );
  });

  test("at rate 0 nothing is drawn and nothing changes", async () => {
    // One thread: how many of several take scratch memory is up to the system.
    const without = await create({ threads: 1, lora: { rank: lora.rank, alpha: lora.alpha } });
    const zero = await create({ threads: 1, lora: { ...lora, dropout: 0 } });
    const work = async (engine: Engine, key?: RandomKey) => {
      const { result, profile } = await engine.profile(async () => {
        const scores = await engine.forward(batch, key && { dropoutKey: key });
        await engine.backward(scores, { logProbs: scores.logProbs });
        await engine.step({ groups: [everything] });
        return plain(await engine.forward(batch, { keepTape: false }));
      });
      return { result, ops: profile.ops.map(({ op, calls }) => [op, calls]), memory: engine.memory() };
    };
    const plainWork = await work(without);
    expect(await work(zero, dropoutKey)).toEqual(plainWork);
    expect(plainWork.ops.some(([op]) => op === "dropout")).toBe(false);
  });
});

describe.skipIf(withoutCuda !== "")(`on the emulated GPU${withoutCuda}`, () => {
  beforeAll(() => useEmulatedCuda());
  beforeEach(() => emulator.configure({ interpreterThreads: 2 }));

  test("scores, gradients and every step of generation have the same masks", async () => {
    const { engine: cpu } = await createBoth();
    const gpu = await create({ device: "cuda" });
    await gpu.load({ model: weightsFile });
    const [here, there] = [await differentiate(cpu, "cpu"), await differentiate(gpu, "gpu")];
    for (const [i, value] of plain(here.scores).entries())
      expect(Math.abs(plain(there.scores)[i]! - value)).toBeLessThan(rounding);
    for (const [name, values] of here.gradients) {
      if (!name.endsWith("first_moment")) continue;
      const largest = largestOf(values);
      const received = there.gradients.get(name)!;
      for (const [i, value] of values.entries())
        expect(Math.abs(received[i]! - value) / largest, `${name}[${i}]`).toBeLessThan(8 * rounding);
    }
    // Longer than a recorded step stays the same, with keys that a replay must read anew.
    const request = { prompt: prompt(), sampling: { temperature: 1 }, maxNewTokens: 12 };
    const answers = (engine: Engine) =>
      Promise.all([0, 1, 2].map((i) => engine.generate({ ...request, randomKey: [i, 7] })));
    const [expected, received] = [await answers(cpu), await answers(gpu)];
    expect(emulator.violation(0)).toBe("");
    for (const [i, { tokens, logProbs }] of expected.entries()) {
      expect(received[i]!.tokens).toEqual(tokens);
      for (const [t, logProb] of logProbs.entries())
        expect(Math.abs(received[i]!.logProbs[t]! - logProb)).toBeLessThan(rounding);
    }
  });
});
