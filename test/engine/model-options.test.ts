import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { ModelSpec } from "../../src/native/model-spec.js";
import type { EngineOptions, ForwardResult } from "../../src/native/types.js";
import { useEmulatedCuda, withoutCuda } from "../emulated-cuda.js";
import { readSafetensors } from "../golden/safetensors.js";
import { native } from "../io/native-safetensors.js";
import { everything } from "../native/tiny-engine.js";
import { promptKey, responseKey } from "./dropout-keys.js";
import { modelOptionsCases } from "./model-options.js";
import { windowOf } from "./reference-vision.js";
import { multimodalPositions, ReferenceVlm } from "./reference-vlm.js";

/** 2^-24 of each of the sums of at most 64 terms in a handful of layers. */
const rounding = 64 * 8 * 2 ** -24;

if (withoutCuda === "") useEmulatedCuda();
const devices = withoutCuda === "" ? (["cpu", "cuda"] as const) : (["cpu"] as const);

const scratch = mkdtempSync(join(tmpdir(), "sightline-"));
const engines: Engine[] = [];
afterAll(() => {
  for (const engine of engines) engine.dispose();
  rmSync(scratch, { recursive: true });
});

/** An engine with weights of which none is a neutral one, so that each matters. */
async function create(model: ModelSpec, options: Partial<EngineOptions> = {}): Promise<Engine> {
  const { trainable = {}, lora } = options;
  const fresh = await Engine.create({ model, threads: 1, seed: 5, trainable, ...(lora && { lora }) });
  const file = join(scratch, "weights.safetensors");
  await fresh.save({ model: file });
  const initial = readSafetensors(file);
  const tensors = fresh.parameters().map(({ name, shape }) => ({
    name,
    shape,
    data: Float32Array.from(initial.get(name)!, (v, i) => v + 0.15 * Math.sin(3 * i + shape.length)),
  }));
  fresh.dispose();
  native.writeSafetensors(file, tensors, {});
  const engine = await Engine.create({ model, threads: 2, seed: 5, ...options });
  engines.push(engine);
  await engine.load({ model: file });
  return engine;
}

async function weightsOf(engine: Engine): Promise<Map<string, Float64Array>> {
  const file = join(scratch, "saved.safetensors");
  await engine.save({ model: file });
  return new Map([...readSafetensors(file)].map(([name, values]) => [name, Float64Array.from(values)]));
}

/** The work done when first wanted, and then kept. */
function once<Result>(work: () => Promise<Result>): () => Promise<Result> {
  let result: Promise<Result> | undefined;
  return () => (result ??= work());
}

const plain = ({ logProbs, values }: ForwardResult) => [...logProbs, ...values];
const logProbWeight = (i: number) => Math.cos(i);
const valueWeight = (i: number) => 1 + i;

describe.each(modelOptionsCases)("a model with $title", ({ model, batch }) => {
  const score = (engine: Engine) => engine.forward(batch, { keepTape: false });

  /** Gradients of a loss over everything that `forward` returns. */
  async function differentiate(engine: Engine) {
    const scores = await engine.forward(batch);
    await engine.backward(scores, {
      logProbs: scores.logProbs.map((_, i) => logProbWeight(i)),
      values: scores.values.map((_, i) => valueWeight(i)),
    });
    await engine.step({ groups: [{ ...everything, learningRate: 0 }], betas: [0, 0.999] });
    const optimizer = join(scratch, "optimizer.safetensors");
    await engine.save({ model: join(scratch, "unused.safetensors"), optimizer });
    return { scores: plain(scores), gradients: readSafetensors(optimizer) };
  }

  /** What the formulas say, and finite differences at a few elements of every parameter. */
  const expected = once(async () => {
    const engine = await create(model);
    const weights = await weightsOf(engine);
    const reference = new ReferenceVlm(model, engine.parameters(), weights);
    const scores = () => batch.map((item) => reference.score(item));
    const loss = () => {
      let i = 0;
      let total = 0;
      for (const [b, { logProbs, value }] of scores().entries()) {
        for (const logProb of logProbs) total += logProbWeight(i++) * logProb;
        total += valueWeight(b) * value;
      }
      return total;
    };
    const step = 1e-4;
    const slopes = engine.parameters().flatMap(({ name }) =>
      [0.15, 0.6].map((probe) => {
        const values = weights.get(name)!;
        // Of a matrix by token, a row that the batch has.
        const i = Math.floor((name === "decoder.embed.weight" ? (3 + probe) / 32 : probe) * values.length);
        const at = values[i]!;
        const lossAt = (x: number) => {
          values[i] = x;
          return loss();
        };
        const slope = (lossAt(at + step) - lossAt(at - step)) / (2 * step);
        values[i] = at;
        return { name, i, slope };
      }),
    );
    const results = scores();
    return {
      scores: [...results.flatMap(({ logProbs }) => logProbs), ...results.map(({ value }) => value)],
      slopes,
    };
  });

  test.each(devices)("computes what its formulas say, and their gradients, on %s", async (device) => {
    const { scores, gradients } = await differentiate(await create(model, { device }));
    const reference = await expected();
    expect(scores.length).toBe(reference.scores.length);
    for (const [i, value] of reference.scores.entries())
      expect(Math.abs(scores[i]! - value), `result ${i}`).toBeLessThan(rounding);
    for (const { name, i, slope } of reference.slopes) {
      const received = gradients.get(`${name}.first_moment`)!;
      const largest = Array.from(received).reduce((most, v) => Math.max(most, Math.abs(v)), 1e-3);
      expect(Math.abs(received[i]! - slope) / largest, `${name}[${i}]`).toBeLessThan(8 * rounding);
    }
  });

  test("drops what the formulas say, of the encoder's rows and of the projector's", async () => {
    const lora = { rank: 2, alpha: 3, dropout: 0.25 };
    const trainable = { vision: "lora", projector: "lora", decoder: "lora", value_head: "lora" } as const;
    const engine = await create(model, { trainable, lora });
    const reference = new ReferenceVlm(model, engine.parameters(), await weightsOf(engine), lora);
    const dropoutKey = [17, 4_000_000_000] as const;
    const { logProbs, values, offsets } = await engine.forward(batch, { dropoutKey, keepTape: false });
    for (const [i, item] of batch.entries()) {
      const keys = { prompt: promptKey(dropoutKey, item.prompt), response: responseKey(dropoutKey, i) };
      const { logProbs: wanted, value } = reference.score(item, keys);
      const received = [...logProbs.slice(offsets[i], offsets[i + 1]), values[i]!];
      for (const [t, number] of [...wanted, value].entries())
        expect(Math.abs(received[t]! - number), `${i} ${t}`).toBeLessThan(rounding);
    }
  });

  test.each(["fp32", "bf16"] as const)("samples with the log-probs of scoring in %s", async (precision) => {
    const engine = await create(model, { precision });
    const ask = (i: number) => ({
      prompt: batch[i]!.prompt,
      sampling: { temperature: i === 1 ? 0 : 1 },
      randomKey: [i, 7] as const,
      maxNewTokens: 70,
    });
    const together = await Promise.all(batch.map((_, i) => engine.generate(ask(i))));
    const scores = await engine.forward(
      together.map(({ tokens }, i) => ({ prompt: batch[i]!.prompt, response: tokens })),
      { keepTape: false },
    );
    expect([...scores.logProbs]).toEqual(together.flatMap(({ logProbs }) => [...logProbs]));
    expect([...scores.values]).toEqual(together.map(({ value }) => value));
    const alone = await create(model, { precision, threads: 1, maxBatch: 1 });
    for (const [i, completion] of together.entries())
      expect(await alone.generate(ask(i))).toEqual(completion);
  });

  test("threads, recomputation, neighbours and kept features change no bit", async () => {
    const first = await differentiate(await create(model));
    const engine = await create(model, { threads: 3, activationCheckpointing: true });
    expect(await differentiate(engine)).toEqual(first);
    for (const trainable of [{}, { vision: "frozen" }, { vision: "frozen", projector: "frozen" }] as const) {
      const other = await create(model, { trainable });
      // From the last to all, so that the features of some are there already.
      for (const [b, item] of [...batch.entries()].reverse()) {
        const { logProbs, values, offsets } = await score(other);
        const single = await other.forward([item], { keepTape: false });
        expect([...logProbs.slice(offsets[b], offsets[b + 1])]).toEqual([...single.logProbs]);
        expect(values[b]).toBe(single.values[0]);
        expect([...logProbs, ...values]).toEqual(first.scores);
      }
    }
  });

  test("a projector trained behind a frozen encoder has the same gradients", async () => {
    if (model.vision === null) return;
    const { gradients } = await differentiate(await create(model));
    const frozen = await differentiate(await create(model, { trainable: { vision: "frozen" } }));
    expect(frozen.gradients.size).toBeGreaterThan(0);
    for (const [name, values] of frozen.gradients) expect(values, name).toEqual(gradients.get(name));
  });
});

describe.skipIf(withoutCuda !== "")(`on the emulated GPU${withoutCuda}`, () => {
  test.each(modelOptionsCases)(
    "a model with $title samples with the log-probs of scoring",
    async ({ model, batch }) => {
      const engine = await create(model, { device: "cuda" });
      const completions = await Promise.all(
        batch.map(({ prompt }, i) =>
          engine.generate({ prompt, sampling: { temperature: 1 }, randomKey: [i, 7], maxNewTokens: 6 }),
        ),
      );
      const responses = completions.map(({ tokens }, i) => ({ prompt: batch[i]!.prompt, response: tokens }));
      const { logProbs, values } = await engine.forward(responses, { keepTape: false });
      const sampled = [
        ...completions.flatMap(({ logProbs }) => [...logProbs]),
        ...completions.map(({ value }) => value),
      ];
      for (const [i, number] of [...logProbs, ...values].entries())
        expect(Math.abs(sampled[i]! - number), `${i}`).toBeLessThan(rounding);
    },
  );
});

describe("the reference has", () => {
  test("windows of Qwen2.5-VL", () => {
    const { vision } = modelOptionsCases.find(
      ({ model }) => model.vision?.kind === "native_resolution",
    )!.model;
    if (vision?.kind !== "native_resolution") throw new Error("expected a native resolution");
    const published = { ...vision, patchSize: 14, windowSize: 112 };
    /** Merged tokens by window. */
    const windows = (rows: number, columns: number) => {
      const found = new Map<string, number[]>();
      for (let token = 0; token < (rows * columns) / 4; token++) {
        const [row, column] = [2 * Math.floor(token / (columns / 2)), 2 * (token % (columns / 2))];
        const name = windowOf(published, { row, column });
        found.set(name, [...(found.get(name) ?? []), token]);
      }
      return [...found.values()];
    };
    expect(windows(12, 10)).toEqual([
      [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18],
      [4, 9, 14, 19],
      [20, 21, 22, 23, 25, 26, 27, 28],
      [24, 29],
    ]);
    const lengths = windows(22, 22).map((tokens) => 4 * tokens.length);
    expect(lengths).toEqual([64, 64, 48, 64, 64, 48, 48, 48, 36]);
  });

  test("positions of Qwen2-VL", () => {
    const { model } = modelOptionsCases.find(({ model }) => model.decoder.ropeSections !== null)!;
    const prompt = {
      tokens: Int32Array.of(5, 5, 5, ...new Array(6).fill(model.imageTokenId), 5, 5),
      images: [{ grid: { rows: 4, columns: 6 } }],
    };
    const axes = multimodalPositions(model, prompt, 12);
    expect([0, 1, 2].map((axis) => axes.map((position) => position[axis]).join(" "))).toEqual([
      "0 1 2 3 3 3 3 3 3 6 7 8",
      "0 1 2 3 3 3 4 4 4 6 7 8",
      "0 1 2 3 4 5 3 4 5 6 7 8",
    ]);
  });
});
