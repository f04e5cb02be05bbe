import path from "node:path";
import { Worker } from "node:worker_threads";
import { beforeEach, describe, expect, test } from "vitest";
import { testingAddonFile } from "../testing-addon.js";
import { emulator, emulatorFile, errors, numbers } from "./cuda.js";

process.env.SIGHTLINE_NCCL = emulatorFile;
const nccl = emulator.nccl();

const results = { invalidUsage: 5, remoteError: 6 };
const fp32 = 7;
const bf16 = 9;
const ranks = 4;

interface Step {
  call: "allReduce" | "reduceScatter" | "allGather" | "broadcast";
  send: Float32Array | Uint16Array;
  /** Elements that arrive. */
  receive: number;
  type: number;
  reduction?: number;
  root?: number;
  stream?: number;
}

interface Outcome {
  joined: number;
  refusal?: string;
  results: number[];
  received: { error: number; values: Float32Array | Uint16Array }[];
  asyncError: number;
  message: string;
  violation: string;
}

/** What each of the ranks, threads of one process, makes of its steps. */
async function run(
  steps: (rank: number) => Step[],
  options: { present?: number[]; device?: (rank: number) => number } = {},
) {
  const id = new Uint8Array(128);
  expect(nccl.getUniqueId!(id)).toBe(0);
  const { present = Array.from({ length: ranks }, (_, rank) => rank), device = (rank: number) => rank } =
    options;
  return Promise.all(
    present.map(
      (rank) =>
        new Promise<Outcome>((resolve, reject) => {
          const workerData = {
            addon: testingAddonFile,
            rank,
            ranks,
            device: device(rank),
            id,
            steps: steps(rank),
          };
          const worker = new Worker(path.join(import.meta.dirname, "rank.mjs"), { workerData });
          worker.once("message", resolve);
          worker.once("error", reject);
        }),
    ),
  );
}

const sum = (values: number[]) => values.reduce((a, b) => Math.fround(a + b));
const of = (rank: number, count = 8) => numbers(count, (i) => (rank + 1) * 0.1 + i);

beforeEach(() => emulator.configure({ deviceCount: ranks, seed: 7 }));

describe("collectives", () => {
  test("of every kind give every rank what they should, in the order of ranks, for every seed", async () => {
    const steps = (rank: number): Step[] => [
      { call: "allReduce", send: of(rank), receive: 8, type: fp32 },
      { call: "reduceScatter", send: of(rank), receive: 2, type: fp32, stream: 1 },
      { call: "allGather", send: of(rank, 2), receive: 2 * ranks, type: fp32 },
      { call: "broadcast", send: of(rank), receive: 8, type: fp32, root: 2, stream: 1 },
      { call: "allReduce", send: of(rank), receive: 8, type: fp32, reduction: 2 },
      { call: "allReduce", send: of(rank), receive: 8, type: fp32, reduction: 4 },
    ];
    const total = numbers(8, (i) => sum([0, 1, 2, 3].map((rank) => of(rank)[i]!)));
    const mean = numbers(8, (i) => sum([0, 1, 2, 3].map((rank) => of(rank)[i]! / 4)));
    const gathered = Float32Array.from([0, 1, 2, 3].flatMap((rank) => [...of(rank, 2)]));
    for (const seed of [1, 2, 3]) {
      emulator.configure({ deviceCount: ranks, seed });
      const outcomes = await run(steps);
      outcomes.forEach(({ results, received, violation }, rank) => {
        expect(violation).toBe("");
        expect(results).toEqual([0, 0, 0, 0, 0, 0]);
        expect(received.map(({ values }) => values)).toEqual([
          total,
          total.slice(2 * rank, 2 * rank + 2),
          gathered,
          of(2),
          of(3),
          mean,
        ]);
      });
    }
  });

  test("in bf16 round after every step", async () => {
    // 256 + 1 is 256 in bf16, so three more ones are lost one by one.
    const words = (rank: number) => Uint16Array.of(rank === 0 ? 0x4380 : 0x3f80);
    const outcomes = await run((rank) => [{ call: "allReduce", send: words(rank), receive: 1, type: bf16 }]);
    for (const { received } of outcomes) expect([...received[0]!.values]).toEqual([0x4380]);
  });
});

describe("what goes wrong between ranks", () => {
  test("is a different call: the rank that differs is told at once, the others when they wait", async () => {
    const outcomes = await run((rank) => [
      { call: "allReduce", send: of(rank), receive: 8, type: fp32 },
      { call: "allReduce", send: of(rank, rank === 2 ? 4 : 8), receive: 8, type: fp32 },
    ]);
    const told = outcomes.filter(({ results: [, second] }) => second === results.invalidUsage);
    expect(told.length).toBeGreaterThanOrEqual(1);
    const texts = outcomes.map(({ message, violation }) => message + violation);
    for (const text of texts) {
      expect(text).toMatch(
        /collective 1: rank \d calls ncclAllReduce\(count \d.*rank \d called ncclAllReduce\(count \d/,
      );
      expect(text).toMatch(/rank 2 call/);
    }
  });

  test("is a rank that does not call: the others name it after the deadline", async () => {
    emulator.configure({ deviceCount: ranks, collectiveDeadlineMs: 300 });
    const outcomes = await run((rank) => [
      { call: "broadcast", send: of(rank), receive: 8, type: fp32 },
      ...(rank === 3 ? [] : [{ call: "allReduce", send: of(rank), receive: 8, type: fp32 } satisfies Step]),
    ]);
    expect(outcomes[3]!.violation).toBe("");
    for (const { violation, asyncError, received } of outcomes.slice(0, 3)) {
      expect(violation).toMatch(
        /collective 1: rank \d waited 300 ms in ncclAllReduce\(count 8.*for ranks .*3/,
      );
      expect(asyncError).toBe(results.remoteError);
      expect(received[1]!.error).toBe(errors.launchFailure);
    }
  });

  test("is a rank that never joins, or a device taken twice", async () => {
    emulator.configure({ deviceCount: ranks, collectiveDeadlineMs: 300 });
    for (const { joined, refusal } of await run(() => [], { present: [0, 2] })) {
      expect(joined).toBe(results.invalidUsage);
      expect(refusal).toMatch(/rank [02] waited 300 ms in ncclCommInitRank for ranks .*1/);
    }
    const outcomes = await run(() => [], { device: (rank) => (rank === 1 ? 0 : rank) });
    expect(outcomes.some(({ refusal }) => /device 0 is rank [01]'s already/.test(refusal ?? ""))).toBe(true);
  });

  test("is memory that is not the device's, or that nobody wrote", async () => {
    const id = new Uint8Array(128);
    nccl.getUniqueId!(id);
    const out = new BigUint64Array(1);
    expect(nccl.commInitRank!(out, 1, id, 0)).toBe(0);
    const host = new Float32Array(4);
    // Found when the stream gets there, which may be at once.
    expect([0, 1]).toContain(nccl.allReduce!(host, host, 4, fp32, 0, out[0]!, null));
    expect(emulator.runtime.cudaDeviceSynchronize!()).toBe(errors.illegalAddress);
    expect(emulator.violation(0)).toMatch(/ncclAllReduce.*send buffer/);
  });
});
