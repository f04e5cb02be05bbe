import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/native/engine.js";
import {
  createTinyEngine,
  everything,
  expectFailure,
  longBatch,
  prompt,
  request,
  sequence,
} from "./tiny-engine.js";

let engine: Engine;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "sightline-engine-"));
  engine = await createTinyEngine();
});
afterAll(() => {
  engine.dispose();
  rmSync(folder, { recursive: true });
});

describe("results", () => {
  test("a completion has one log-prob per token, and forward computes the same numbers", async () => {
    const completion = await engine.generate(request());
    expect(completion.tokens).toBeInstanceOf(Int32Array);
    expect(completion.tokens.length).toBeGreaterThan(0);
    expect(completion.logProbs.length).toBe(completion.tokens.length);
    expect(["end", "length"]).toContain(completion.finishReason);
    const scores = await engine.forward([{ prompt: prompt(), response: completion.tokens }]);
    expect(scores.logProbs).toEqual(completion.logProbs);
    expect(scores.values).toEqual(Float32Array.of(completion.value));
  });

  test("large arrays, which are handed over, hold the numbers of small ones, which are copied", async () => {
    const sequences = Array.from({ length: 90 }, (_, i) => sequence(190, [3, 4, 5 + (i % 20)]));
    const all = await engine.forward(sequences, { keepTape: false, entropies: true });
    expect(all.logProbs.byteLength).toBeGreaterThan(64 * 1024);
    expect(all.offsets.at(-1)).toBe(all.logProbs.length);
    for (const i of [0, 47, 89]) {
      const one = await engine.forward([sequences[i]!], { keepTape: false, entropies: true });
      const span = [all.offsets[i]!, all.offsets[i + 1]!] as const;
      expect(one.logProbs.byteLength).toBeLessThan(64 * 1024);
      expect(all.logProbs.slice(...span)).toEqual(one.logProbs);
      expect(all.entropies!.slice(...span)).toEqual(one.entropies);
      expect(all.values[i]).toBe(one.values[0]);
    }
  });

  test("entropies are there exactly when asked for", async () => {
    expect(await engine.forward([sequence(2)], { keepTape: false })).not.toHaveProperty("entropies");
    const { entropies } = await engine.forward([sequence(2)], { keepTape: false, entropies: true });
    expect(entropies).toHaveLength(2);
  });

  test("arrays may be changed and transferred as soon as a call is made", async () => {
    const expected = await engine.generate(request());
    const given = request();
    const pending = engine.generate(given);
    structuredClone(given.prompt.images[0]!.pixels.buffer, {
      transfer: [given.prompt.images[0]!.pixels.buffer as ArrayBuffer],
    });
    given.prompt.tokens.fill(7);
    expect(await pending).toEqual(expected);
  });

  test("typed arrays may begin anywhere in a larger or shared buffer", async () => {
    const { tokens, images } = prompt();
    const wider = new Int32Array(new SharedArrayBuffer(4 * (tokens.length + 5)));
    wider.set(tokens, 5);
    const inside = { tokens: wider.subarray(5), images };
    expect(await engine.generate(request({ prompt: inside }))).toEqual(await engine.generate(request()));
  });

  test("the event loop turns while the engine computes", async () => {
    // A busy machine may give this thread no turn during one call; an engine that held the thread would give none in any.
    let turns = 0;
    for (let call = 0; call < 100 && turns <= 10; ++call) {
      turns = 0;
      let running = true;
      const forward = engine.forward(longBatch(), { keepTape: false }).finally(() => {
        running = false;
      });
      while (running) {
        await nextTurn();
        turns += 1;
      }
      await forward;
    }
    expect(turns).toBeGreaterThan(10);
  });

  test("parameters and memory are described under their documented names", () => {
    const parameters = engine.parameters();
    expect(new Set(parameters.map(({ component }) => component))).toEqual(new Set(everything.components));
    const elements = parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const memory = engine.memory();
    expect(Object.keys(memory)).toEqual([
      "weights",
      "adapter",
      "gradients",
      "optimizer",
      "activations",
      "kv_cache",
      "workspace",
      "total",
    ]);
    expect(memory.total.currentBytes).toBeGreaterThanOrEqual(
      memory.weights.currentBytes + memory.optimizer.currentBytes,
    );
    expect(memory.weights.currentBytes).toBeGreaterThanOrEqual(4 * elements);
    expect(memory.weights.peakBytes).toBeGreaterThanOrEqual(memory.weights.currentBytes);
  });

  test("frozen components are not trainable, adapters are", async () => {
    const adapted = await createTinyEngine({
      trainable: { vision: "frozen", decoder: "lora" },
      lora: { rank: 2, alpha: 4 },
    });
    const trainable = (component: string) =>
      new Set(adapted.parameters().flatMap((p) => (p.component === component ? [p.trainable] : [])));
    expect(trainable("vision")).toEqual(new Set([false]));
    expect(trainable("projector")).toEqual(new Set([true]));
    expect(trainable("decoder")).toEqual(new Set([true, false]));
    adapted.dispose();
  });
});

describe("training calls", () => {
  test("a tape of another engine is refused", async () => {
    const other = await createTinyEngine();
    try {
      const scores = await other.forward([sequence(2)]);
      const gradient = { logProbs: Float32Array.of(1, 1) };
      await expectFailure(
        engine.backward(scores, gradient),
        "INVALID_ARGUMENT",
        /^forward: the tape \d+ is gone/,
      );
      await other.backward(scores, gradient);
    } finally {
      other.dispose();
    }
  });

  test("a tape serves one backward", async () => {
    const scores = await engine.forward([sequence(3)]);
    await engine.backward(scores, { logProbs: new Float32Array(3) });
    await expectFailure(
      engine.backward(scores, { logProbs: new Float32Array(3) }),
      "INVALID_ARGUMENT",
      /^forward: the tape \d+ is gone/,
    );
  });

  test("step reports a norm for each group and changes what forward computes", async () => {
    const trained = await createTinyEngine();
    const before = await trained.forward([sequence(3)]);
    await trained.backward(before, { logProbs: Float32Array.of(1, 1, 1), values: Float32Array.of(1) });
    const { gradientNorms } = await trained.step({
      groups: [
        { components: ["decoder", "value_head"], learningRate: 1e-2, maxGradientNorm: 1 },
        { components: ["vision", "projector"], learningRate: 1e-2 },
      ],
    });
    expect(gradientNorms).toHaveLength(2);
    for (const norm of gradientNorms) expect(norm).toBeGreaterThan(0);
    const after = await trained.forward([sequence(3)], { keepTape: false });
    expect(after.logProbs).not.toEqual(before.logProbs);
    trained.dispose();
  });

  test("calls take effect in the order in which they are made", async () => {
    const one = await createTinyEngine();
    const [before, , , after] = await Promise.all([
      one.generate(request({ maxNewTokens: 0 })),
      one.forward([sequence(2)]).then((scores) => scores),
      one.save({ model: path.join(folder, "before.safetensors") }),
      one
        .load({ model: path.join(folder, "before.safetensors") })
        .then(() => one.generate(request({ maxNewTokens: 0 }))),
    ]);
    expect(after.value).toBe(before.value);
    one.dispose();
  });

  test("files that cannot be written, read or used are IO and FORMAT errors that name them", async () => {
    const missing = path.join(folder, "missing", "model.safetensors");
    await expectFailure(engine.save({ model: missing }), "IO", /missing.*cannot create/);
    await expectFailure(engine.load({ model: missing }), "IO", /missing.*cannot open/);
    const broken = path.join(folder, "broken.safetensors");
    writeFileSync(broken, "not a model");
    await expectFailure(engine.load({ model: broken }), "FORMAT", /broken\.safetensors: header length/);
  });

  test("save, load and save again give the same bytes, optimizer included", async () => {
    const first = {
      model: path.join(folder, "a.safetensors"),
      optimizer: path.join(folder, "ao.safetensors"),
    };
    const second = {
      model: path.join(folder, "b.safetensors"),
      optimizer: path.join(folder, "bo.safetensors"),
    };
    const scores = await engine.forward([sequence(3)]);
    await engine.backward(scores, { logProbs: Float32Array.of(1, 2, 3) });
    await engine.step({ groups: [everything] });
    await engine.save(first);
    const other = await createTinyEngine({ seed: 99 });
    await other.load(first);
    await other.save(second);
    expect(readFileSync(second.model).equals(readFileSync(first.model))).toBe(true);
    expect(readFileSync(second.optimizer).equals(readFileSync(first.optimizer))).toBe(true);
    other.dispose();
  });
});
