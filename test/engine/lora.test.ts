import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { ForwardResult, ParameterInfo } from "../../src/native/types.js";
import { readSafetensors } from "../golden/safetensors.js";
import { native } from "../io/native-safetensors.js";
import { everything, sequence, tinySpec } from "../native/tiny-engine.js";

/**
 * Adapters against the full model whose weights hold them: W' = W + s B A with s = alpha / r. Both compute the same
 * function, and by the chain rule dL/dB = s dL/dW' A^T and dL/dA = s B^T dL/dW'.
 */
const lora = { rank: 3, alpha: 4.5 };
const scale = lora.alpha / lora.rank;
const batch = [sequence(9), sequence(5, [6, 7]), sequence(12, [3, 4, 5])];
const adapted = { vision: "lora", projector: "lora", decoder: "lora", value_head: "lora" } as const;

type Tensors = Map<string, Float32Array | Float64Array>;

/** (M, K) times (K, N) in double. */
function multiply(a: ArrayLike<number>, b: ArrayLike<number>, m: number, k: number, n: number): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let p = 0; p < k; p++) for (let j = 0; j < n; j++) c[i * n + j]! += a[i * k + p]! * b[p * n + j]!;
  return c;
}

function transpose(a: ArrayLike<number>, rows: number, columns: number): Float64Array {
  return Float64Array.from(
    { length: rows * columns },
    (_, i) => a[(i % rows) * columns + Math.floor(i / rows)]!,
  );
}

function write(
  path: string,
  parameters: readonly ParameterInfo[],
  valuesOf: (name: string) => ArrayLike<number>,
): void {
  const tensors = parameters.map(({ name, shape }) => ({
    name,
    shape,
    data: Float32Array.from(valuesOf(name)),
  }));
  native.writeSafetensors(path, tensors, {});
}

/** Scores the batch, takes the gradient of a fixed loss, and returns scores and gradients. */
async function differentiate(
  engine: Engine,
  folder: string,
): Promise<{ scores: ForwardResult; gradients: Tensors }> {
  const scores = await engine.forward(batch);
  await engine.backward(scores, {
    logProbs: scores.logProbs.map((_, i) => Math.cos(i)),
    values: scores.values.map((_, i) => 1 + i),
  });
  await engine.step({ groups: [{ ...everything, learningRate: 0 }], betas: [0, 0.999] });
  const optimizer = join(folder, "optimizer.safetensors");
  await engine.save({ model: join(folder, "unused.safetensors"), optimizer });
  return { scores, gradients: readSafetensors(optimizer) };
}

describe("low-rank adapters", () => {
  const folder = mkdtempSync(join(tmpdir(), "sightline-"));
  const adapterFile = join(folder, "adapted.safetensors");
  let full: Engine;
  let lowRank: Engine;
  let weights: Tensors;
  let fullRun: Awaited<ReturnType<typeof differentiate>>;
  let lowRankRun: Awaited<ReturnType<typeof differentiate>>;

  beforeAll(async () => {
    full = await Engine.create({ model: tinySpec, threads: 1, seed: 5 });
    lowRank = await Engine.create({ model: tinySpec, threads: 1, seed: 5, trainable: adapted, lora });
    // B starts at zero; give it values so that both factors matter.
    const initial = join(folder, "initial.safetensors");
    await lowRank.save({ model: initial });
    const before = readSafetensors(initial);
    const isB = (name: string) => name.endsWith("lora_B.weight");
    write(adapterFile, lowRank.parameters(), (name) =>
      isB(name) ? before.get(name)!.map((_, i) => 0.1 * Math.sin(3 * i + 1)) : before.get(name)!,
    );
    weights = readSafetensors(adapterFile);
    const merged = join(folder, "merged.safetensors");
    write(merged, full.parameters(), (name) => {
      const base = name.replace(/\.weight$/, "");
      const [a, b] = [weights.get(`${base}.lora_A.weight`), weights.get(`${base}.lora_B.weight`)];
      const weight = weights.get(name)!;
      if (!a || !b) return weight;
      const update = multiply(b, a, b.length / lora.rank, lora.rank, a.length / lora.rank);
      return weight.map((w, i) => w + scale * update[i]!);
    });
    await full.load({ model: merged });
    await lowRank.load({ model: adapterFile });
    fullRun = await differentiate(full, folder);
    lowRankRun = await differentiate(lowRank, folder);
  });
  afterAll(() => {
    full.dispose();
    lowRank.dispose();
    rmSync(folder, { recursive: true });
  });

  test("begins with adapters that change nothing on weights that have none", async () => {
    const plain = await Engine.create({ model: tinySpec, threads: 1, seed: 7 });
    const adaptedAnew = await Engine.create({
      model: tinySpec,
      threads: 1,
      seed: 9,
      trainable: adapted,
      lora,
    });
    const base = join(folder, "base.safetensors");
    try {
      await plain.save({ model: base });
      // Adapters that have been trained, or loaded, go when a model without any is loaded.
      await adaptedAnew.load({ model: adapterFile });
      await adaptedAnew.load({ model: base });
      const [expected, received] = [
        await differentiate(plain, folder),
        await differentiate(adaptedAnew, folder),
      ];
      expect(received.scores.logProbs).toEqual(expected.scores.logProbs);
      const again = join(folder, "again.safetensors");
      await adaptedAnew.save({ model: again });
      const tensors = [...readSafetensors(again)];
      const factors = (kind: string) => tensors.filter(([name]) => name.endsWith(`lora_${kind}.weight`));
      expect(factors("B").every(([, values]) => values.every((value) => value === 0))).toBe(true);
      expect(factors("A").every(([, values]) => values.every((value) => value !== 0))).toBe(true);
    } finally {
      plain.dispose();
      adaptedAnew.dispose();
    }
  });

  test("train nothing but themselves", () => {
    const trained = lowRank.parameters().filter(({ trainable }) => trainable);
    expect(trained.length).toBeGreaterThan(0);
    expect(trained.every(({ name }) => /\.lora_[AB]\.weight$/.test(name))).toBe(true);
  });

  test("compute what the merged weights compute", () => {
    // Merging rounds each weight once more: 2^-24 of it, over sums of at most 64 terms in a handful of layers.
    for (const [i, value] of lowRankRun.scores.logProbs.entries())
      expect(Math.abs(value - fullRun.scores.logProbs[i]!)).toBeLessThan(64 * 8 * 2 ** -24 * 4);
    for (const [i, value] of lowRankRun.scores.values.entries())
      expect(Math.abs(value - fullRun.scores.values[i]!)).toBeLessThan(64 * 8 * 2 ** -24 * 4);
  });

  test("receive the gradients that the chain rule gives them", () => {
    let checked = 0;
    for (const { name, shape } of full.parameters()) {
      const base = name.replace(/\.weight$/, "");
      const a = weights.get(`${base}.lora_A.weight`);
      const b = weights.get(`${base}.lora_B.weight`);
      if (!a || !b || !name.endsWith(".weight")) continue;
      const [out, input] = shape as [number, number];
      const dWeight = fullRun.gradients.get(`${name}.first_moment`)!;
      const expected = {
        lora_A: multiply(transpose(b, out, lora.rank), dWeight, lora.rank, out, input),
        lora_B: multiply(dWeight, transpose(a, lora.rank, input), out, input, lora.rank),
      };
      for (const [factor, reference] of Object.entries(expected)) {
        const received = lowRankRun.gradients.get(`${base}.${factor}.weight.first_moment`)!;
        const largest = Math.max(...reference.map(Math.abs), 1e-3);
        const error = Math.max(...reference.map((value, i) => Math.abs(scale * value - received[i]!)));
        expect(error / largest, `${base}.${factor}`).toBeLessThan(64 * 8 * 2 ** -24 * 8);
        checked += 1;
      }
    }
    expect(checked).toBe(lowRank.parameters().filter(({ trainable }) => trainable).length);
  });

  test("are refused without a rank, and a rank without adapters", async () => {
    await expect(Engine.create({ model: tinySpec, trainable: adapted })).rejects.toThrow(
      /^lora: expected a rank/,
    );
    await expect(Engine.create({ model: tinySpec, lora })).rejects.toThrow(/^lora: expected nothing/);
  });
});

describe("adapters of chosen layers", () => {
  const modules = ["decoder.layers.0.attention.q", "decoder.layers.0.mlp.down"];
  const create = (chosen: string[], trainable: object = adapted) =>
    Engine.create({ model: tinySpec, threads: 1, seed: 5, trainable, lora: { ...lora, modules: chosen } });

  test("are all that is trained", async () => {
    const engine = await create(modules);
    const trained = engine.parameters().filter(({ trainable }) => trainable);
    expect(trained.map(({ name }) => name)).toEqual(
      modules.flatMap((module) => ["A", "B"].map((factor) => `${module}.lora_${factor}.weight`)),
    );
    engine.dispose();
  });

  test("are refused where no such layer is adapted", async () => {
    await expect(create(["decoder.layers.0.attention.qq"])).rejects.toThrow(
      /^lora\.modules: expected .* received "decoder\.layers\.0\.attention\.qq"; close to it are decoder\.layers\.0\.attention\.q, /,
    );
    await expect(create(modules, { ...adapted, decoder: "all" })).rejects.toThrow(
      /^lora\.modules: expected /,
    );
  });
});
