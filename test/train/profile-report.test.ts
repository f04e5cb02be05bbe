import { describe, expect, test } from "vitest";
import type { OpTotals, Peaks, Profile } from "../../src/native/types.js";
import { reportProfile } from "../../src/train/profile-report.js";
import { handMadeProfile } from "./hand-made-profile.js";

/** A machine on which a microsecond does 100 000 FLOPs, 200 000 of bf16, or reads 10 000 bytes. */
const peaks: Peaks = {
  threads: 1,
  cpu: "avx2",
  fp32GflopsPerSecond: 100,
  bf16GflopsPerSecond: 200,
  readGigabytesPerSecond: 10,
};

/** A profile of 10 ms with nothing but these totals. */
function profileOf(...ops: OpTotals[]): Profile {
  const none = handMadeProfile();
  const noEvents = Object.fromEntries(
    Object.entries(none.events).map(([name, values]) => [name, values.slice(0, 0)]),
  ) as unknown as Profile["events"];
  return { ...none, milliseconds: 10, ops, events: noEvents };
}

const totals: OpTotals = {
  op: "matmul",
  call: "forward",
  calls: 2,
  milliseconds: 4,
  flops: 200e6,
  bf16Flops: 0,
  bytes: 10e6,
};

describe("the roof of an op", () => {
  test("is its arithmetic at the peak where that takes longer", () => {
    expect(reportProfile(profileOf(totals), peaks).ops).toEqual([
      {
        op: "matmul",
        calls: 2,
        milliseconds: 4,
        share: 0.4,
        gflops: 0.2,
        gflopsPerSecond: 50,
        gigabytes: 0.01,
        gigabytesPerSecond: 2.5,
        // 2 ms of arithmetic, 1 ms of memory.
        percentOfRoof: 50,
        bound: "arithmetic",
      },
    ]);
  });

  test("is the reading and writing of its operands where that takes longer", () => {
    const [row] = reportProfile(profileOf({ ...totals, bytes: 30e6 }), peaks).ops;
    expect(row).toMatchObject({ percentOfRoof: 75, bound: "memory" });
  });

  test("is higher for products of bf16 numbers, and that of fp32 where bf16 has no instruction", () => {
    const bf16 = profileOf({ ...totals, flops: 100e6, bf16Flops: 400e6 });
    const [row] = reportProfile(bf16, peaks).ops;
    expect(row).toMatchObject({ gflopsPerSecond: 125, percentOfRoof: 75 });
    expect(reportProfile(bf16, { ...peaks, bf16GflopsPerSecond: null }).ops[0]!.percentOfRoof).toBe(125);
  });

  test("is that of each engine call by itself", () => {
    const decode = { ...totals, call: "decode", flops: 50e6, bytes: 10e6, milliseconds: 4 };
    const [row] = reportProfile(profileOf(totals, decode), peaks).ops;
    // 2 ms of arithmetic and 1 ms of memory: added up before they are compared, they would be 2.5 and 2.
    expect(row).toMatchObject({ calls: 4, milliseconds: 8, percentOfRoof: (100 * (2 + 1)) / 8 });
  });

  test("says nothing of an op that took no time", () => {
    const [row] = reportProfile(profileOf({ ...totals, milliseconds: 0 }), peaks).ops;
    expect(row).toMatchObject({ percentOfRoof: null, gflopsPerSecond: 0, gigabytesPerSecond: 0 });
  });
});

describe("the report of a profile", () => {
  const report = reportProfile(handMadeProfile(), peaks);

  test("sorts ops by time, and with the engine's own time and its waiting they make up the whole", () => {
    expect(report.ops.map(({ op, calls, milliseconds }) => [op, calls, milliseconds])).toEqual([
      ["matmul", 3, 6],
      ["add", 1, 1],
    ]);
    expect(report.outsideOpsMilliseconds).toBe(3);
    expect(report.idleMilliseconds).toBe(2);
    expect(report.milliseconds).toBe(6 + 1 + 3 + 2);
  });

  test("gives each engine call the time that no call inside it took", () => {
    expect(report.calls).toEqual([
      { call: "generate", calls: 1, milliseconds: 2, opMilliseconds: 0, outsideOpsMilliseconds: 2 },
      { call: "decode", calls: 1, milliseconds: 4, opMilliseconds: 4, outsideOpsMilliseconds: 0 },
      { call: "forward", calls: 1, milliseconds: 4, opMilliseconds: 3, outsideOpsMilliseconds: 1 },
    ]);
  });

  test("tells the shapes of an op apart", () => {
    expect(
      report.shapes.map(({ op, shape, calls, milliseconds }) => [op, shape, calls, milliseconds]),
    ).toEqual([
      ["matmul", [8, 4, 2], 2, 5],
      ["matmul", [1, 4, 2], 1, 1],
      ["add", [32], 1, 1],
    ]);
    expect(report.shapes[0]).toMatchObject({ gflops: 2 * 128e-9, gigabytes: 2 * 224e-9 });
  });
});
