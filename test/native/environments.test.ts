import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { loadAddon } from "../../src/native/addon.js";
import { longBatch, request, sequence, tinySpec } from "./tiny-engine.js";

/**
 * What every script below begins with. Workers and child processes cannot load TypeScript, so they use the
 * native module without the `Engine` class; the inputs are rebuilt because JSON holds no typed arrays.
 */
const prelude = `
  const { parentPort } = require("node:worker_threads");
  const { createEngine } = require(${JSON.stringify(loadAddon().file)});
  const create = () => createEngine(${JSON.stringify({ model: tinySpec, threads: 2 })});
  const revive = (text) => JSON.parse(text, (_, value) =>
    value?.ints ? Int32Array.from(value.ints) : value?.floats ? Float32Array.from(value.floats) : value);
  const request = revive(${JSON.stringify(describeArrays(request()))});
  const one = revive(${JSON.stringify(describeArrays([sequence(2)]))});
  const longBatch = revive(${JSON.stringify(describeArrays(longBatch()))});
`;

function describeArrays(value: unknown): string {
  return JSON.stringify(value, (_, inner) => {
    if (inner instanceof Int32Array) return { ints: [...inner] };
    if (inner instanceof Float32Array) return { floats: [...inner] };
    return inner;
  });
}

function runNode(script: string, ...flags: string[]): SpawnSyncReturns<string> {
  // Through standard input, because arguments have a largest length.
  const input = `${prelude};(async () => {${script}})();`;
  return spawnSync(process.execPath, [...flags, "-"], {
    encoding: "utf8",
    input,
    // A process that does not end must fail its test; the runner's own limit cannot interrupt this call.
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
}

function startWorker(script: string): Worker {
  const worker = new Worker(`${prelude};(async () => {${script}})();`, { eval: true });
  worker.on("error", (error) => {
    throw error;
  });
  return worker;
}

/** Calls that keep an engine busy with everything that it can do, again and again. */
const workForever = `
  const engine = await create();
  for (;;) {
    const scores = engine.forward(longBatch, {});
    const completions = Array.from({ length: 50 }, (_, i) => engine.generate({ ...request, randomKey: [1, i] }).promise);
    parentPort?.postMessage("working");
    await engine.backward(await scores.promise, { logProbs: new Float32Array(100 * 200) });
    await engine.step({ groups: [{ components: ["decoder"], learningRate: 0 }] });
    await Promise.all(completions);
  }`;

describe("a worker thread", () => {
  test("may be terminated while its engine works, ten times over", async () => {
    for (let i = 0; i < 10; i++) {
      const worker = startWorker(workForever);
      await once(worker, "message");
      await delay(7 * i);
      expect(await worker.terminate()).toBe(1);
    }
  });

  test("may be terminated while its engine is built", async () => {
    for (let i = 0; i < 10; i++) {
      const worker = startWorker(`for (let n = 0; n < 8; n++) create(); parentPort.postMessage("building");`);
      await once(worker, "message");
      await worker.terminate();
    }
  });

  test("may be terminated while its engine is disposed in mid-work", async () => {
    for (let i = 0; i < 10; i++) {
      const worker = startWorker(`
        const engine = await create();
        engine.forward(longBatch, {}).promise.catch(() => {});
        setTimeout(() => {
          engine.dispose();
          parentPort.postMessage("disposed");
        }, 3);
        setInterval(() => {}, 1000);`);
      await once(worker, "message");
      await worker.terminate();
    }
  });

  test("may be the only one that uses the module, which leaves memory with it", () => {
    const worker = `${prelude};(async () => {${workForever}})();`;
    // No prelude outside the worker: the process itself must not load the module.
    const input = `
      const { Worker } = require("node:worker_threads");
      const { once } = require("node:events");
      (async () => {
        for (let i = 0; i < 10; i++) {
          const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
          await once(worker, "message");
          await new Promise((resolve) => setTimeout(resolve, 5 * i));
          await worker.terminate();
        }
        console.log("alive");
      })();`;
    const child = spawnSync(process.execPath, ["-"], { encoding: "utf8", input });
    expect(child).toMatchObject({ status: 0, signal: null, stdout: "alive\n", stderr: "" });
  });

  test("has engines of its own, beside those of other threads", async () => {
    const script = `
      const engine = await create();
      const { promise } = engine.generate(request);
      engine.releaseRequests();
      const { tokens } = await promise;
      parentPort.postMessage([...tokens]);
      engine.dispose();`;
    const workers = Array.from({ length: 4 }, () => startWorker(script));
    const answers = await Promise.all(workers.map(async (worker) => (await once(worker, "message"))[0]));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    await Promise.all(workers.map((worker) => worker.terminate()));
  });
});

describe("a process", () => {
  test("may exit while an engine works", () => {
    for (let i = 0; i < 8; i++) {
      const child = runNode(`setTimeout(() => process.exit(7), ${60 + 9 * i});${workForever}`);
      expect(child.stderr).toBe("");
      expect(child).toMatchObject({ status: 7, signal: null });
    }
  });

  test("stays for the calls that it waits for, and ends by itself when there are none", () => {
    const child = runNode(`
      const engine = await create();
      console.log((await engine.forward(longBatch, {}).promise).logProbs.length);`);
    expect(child).toMatchObject({ status: 0, signal: null, stdout: "20000\n", stderr: "" });
  });

  test("is not kept by an engine that was never used", () => {
    const child = runNode("globalThis.engine = await create(); console.log('made');");
    expect(child).toMatchObject({ status: 0, signal: null, stdout: "made\n", stderr: "" });
  });

  test("dies of an uncaught error while an engine works, not of anything else", () => {
    const child = runNode(`setTimeout(() => { throw new Error("mine"); }, 80);${workForever}`);
    expect(child).toMatchObject({ status: 1, signal: null });
    expect(child.stderr).toContain("Error: mine");
  });

  test.skipIf(process.platform !== "linux")(
    "ends the threads of engines that are collected as garbage",
    () => {
      const child = runNode(
        `
      const { readdirSync } = require("node:fs");
      const threads = () => readdirSync("/proc/self/task").length;
      await create();
      const before = threads();
      for (let i = 0; i < 30; i++) await (await create()).forward(one, { keepTape: false }).promise;
      const during = threads();
      for (let i = 0; i < 10; i++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      console.log(before, during, threads());`,
        "--expose-gc",
      );
      expect(child.stderr).toBe("");
      const [before, during, after] = child.stdout.split(" ").map(Number);
      expect(during).toBeGreaterThan(before! + 20);
      expect(after).toBeLessThanOrEqual(before! + 4);
    },
  );

  test("keeps a working engine that nothing refers to but its call", () => {
    const child = runNode(
      `
      const result = (await create()).forward(longBatch, {}).promise;
      for (let i = 0; i < 5; i++) { gc(); await new Promise(setImmediate); }
      console.log((await result).values.length);`,
      "--expose-gc",
    );
    expect(child).toMatchObject({ status: 0, stdout: "100\n", stderr: "" });
  });

  // AddressSanitizer keeps freed memory for a while, to catch its use.
  test.skipIf(process.env.ASAN_OPTIONS)(
    "gets the memory of large results back when they are collected",
    () => {
      const child = runNode(
        `
      const engine = await create();
      const megabytes = () => process.memoryUsage().rss / 2 ** 20;
      let handedOver = 0;
      const cycle = async () => {
        const scores = await engine.forward(longBatch, { keepTape: false, entropies: true }).promise;
        handedOver += (scores.logProbs.byteLength + scores.entropies.byteLength) / 2 ** 20;
        gc();
      };
      for (let i = 0; i < 10; i++) await cycle();
      const before = megabytes();
      handedOver = 0;
      for (let i = 0; i < 100; i++) await cycle();
      console.log(handedOver, megabytes() - before);`,
        "--expose-gc",
      );
      expect(child.stderr).toBe("");
      const [handedOver, growth] = child.stdout.split(" ").map(Number);
      expect(handedOver).toBeGreaterThan(12);
      expect(growth).toBeLessThan(handedOver! / 3);
    },
  );

  test("gets the memory of disposed engines back, over hundreds of them", () => {
    const child = runNode(`
      const megabytes = () => process.memoryUsage().rss / 2 ** 20;
      const cycle = async () => {
        const engine = await create();
        await engine.forward(longBatch.slice(0, 20), {}).promise;
        const { activations } = engine.memory();
        engine.dispose();
        return activations.currentBytes / 2 ** 20;
      };
      for (let i = 0; i < 50; i++) await cycle();
      const before = megabytes();
      let held = 0;
      for (let i = 0; i < 200; i++) held += await cycle();
      console.log(held, megabytes() - before);`);
    expect(child.stderr).toBe("");
    const [held, growth] = child.stdout.split(" ").map(Number);
    expect(held).toBeGreaterThan(200);
    expect(growth).toBeLessThan(held! / 10);
  });
});
