/** A profile as tables: where the time went, and how far each op is from what the machine can do. */
import type { OpTotals, Peaks, Profile } from "../native/types.js";

/** Some calls of one op, held against the roof. */
export interface OpRow {
  readonly op: string;
  readonly calls: number;
  readonly milliseconds: number;
  /** Part of the whole profile's time, in [0, 1]. */
  readonly share: number;
  /** fp32 and bf16 together. */
  readonly gflops: number;
  readonly gflopsPerSecond: number;
  readonly gigabytes: number;
  readonly gigabytesPerSecond: number;
  /**
   * 100 where the op takes as long as its arithmetic at the measured peak, or as its bytes at the measured memory
   * bandwidth, whichever is longer. Above 100: operands came from a cache, which is faster than memory. Null for an op
   * that took no time.
   */
  readonly percentOfRoof: number | null;
  /** Which of the two is the longer. */
  readonly bound: "arithmetic" | "memory";
}

/** Calls of one op with the same sizes, e.g. M, N and K of a product; see `native/ops/op_work.h`. */
export interface ShapeRow extends OpRow {
  readonly shape: readonly number[];
}

/** One kind of engine call, without the calls inside it. */
export interface CallRow {
  readonly call: string;
  readonly calls: number;
  readonly milliseconds: number;
  readonly opMilliseconds: number;
  /** Everything between ops: memory, packing of batches, sampling's bookkeeping, the profiler itself. */
  readonly outsideOpsMilliseconds: number;
}

export interface ProfileReport {
  readonly peaks: Peaks;
  readonly milliseconds: number;
  /** Sorted by time, longest first. Together with the next two they make up `milliseconds`. */
  readonly ops: readonly OpRow[];
  /** The engine's own time. */
  readonly outsideOpsMilliseconds: number;
  /** The engine waited for JavaScript: environments, the loss, the next call. */
  readonly idleMilliseconds: number;
  readonly calls: readonly CallRow[];
  /** Sorted by time, longest first; of the events that were kept. */
  readonly shapes: readonly ShapeRow[];
  /** Calls that are in the totals but neither among the shapes nor in the trace. */
  readonly eventsLeftOut: number;
}

/** A number of calls of one op; several are added before they are made a row. */
type Work = Pick<OpTotals, "op" | "calls" | "milliseconds" | "flops" | "bf16Flops" | "bytes">;

/** @param peaks of the machine that the profile was taken on, in the same minute */
export function reportProfile(profile: Profile, peaks: Peaks): ProfileReport {
  const { milliseconds, busyMilliseconds, eventsLeftOut } = profile;
  const row = (works: readonly Work[]): OpRow => opRow(works, peaks, milliseconds);
  const opMilliseconds = sum(profile.ops, (work) => work.milliseconds);
  return {
    peaks,
    milliseconds,
    ops: byTime([...groupBy(profile.ops, ({ op }) => op).values()].map(row)),
    outsideOpsMilliseconds: busyMilliseconds - opMilliseconds,
    idleMilliseconds: milliseconds - busyMilliseconds,
    calls: profile.calls.filter(({ calls }) => calls > 0).map((totals) => callRow(totals, profile.ops)),
    shapes: byTime(
      [...groupBy(opEvents(profile), ({ op, shape }) => `${op} ${shape}`).values()].map((works) => ({
        ...row(works),
        shape: works[0]!.shape,
      })),
    ),
    eventsLeftOut,
  };
}

function opRow(works: readonly Work[], peaks: Peaks, profileMilliseconds: number): OpRow {
  // Each group of calls has its own roof: the same op may be bound by memory in one and by arithmetic in another.
  const roofs = works.map((work) => roof(work, peaks));
  const roofMilliseconds = sum(roofs, ({ arithmetic, memory }) => Math.max(arithmetic, memory));
  const milliseconds = sum(works, (work) => work.milliseconds);
  const gflops = sum(works, ({ flops, bf16Flops }) => (flops + bf16Flops) / 1e9);
  const gigabytes = sum(works, ({ bytes }) => bytes / 1e9);
  const perSecond = (amount: number): number => (milliseconds > 0 ? amount / (milliseconds / 1e3) : 0);
  return {
    op: works[0]!.op,
    calls: sum(works, ({ calls }) => calls),
    milliseconds,
    share: milliseconds / profileMilliseconds,
    gflops,
    gflopsPerSecond: perSecond(gflops),
    gigabytes,
    gigabytesPerSecond: perSecond(gigabytes),
    percentOfRoof: milliseconds > 0 ? (100 * roofMilliseconds) / milliseconds : null,
    bound:
      sum(roofs, ({ arithmetic }) => arithmetic) > sum(roofs, ({ memory }) => memory)
        ? "arithmetic"
        : "memory",
  };
}

/** Milliseconds that the work takes at least. */
function roof({ flops, bf16Flops, bytes }: Work, peaks: Peaks): { arithmetic: number; memory: number } {
  const { fp32GflopsPerSecond: fp32, bf16GflopsPerSecond: bf16, readGigabytesPerSecond } = peaks;
  return {
    arithmetic: flops / fp32 / 1e6 + bf16Flops / (bf16 ?? fp32) / 1e6,
    memory: bytes / readGigabytesPerSecond / 1e6,
  };
}

function callRow(
  { call, calls, milliseconds, nestedMilliseconds }: Profile["calls"][number],
  ops: readonly OpTotals[],
): CallRow {
  const own = milliseconds - nestedMilliseconds;
  const opMilliseconds = sum(
    ops.filter((totals) => totals.call === call),
    (totals) => totals.milliseconds,
  );
  return {
    call,
    calls,
    milliseconds: own,
    opMilliseconds,
    outsideOpsMilliseconds: own - opMilliseconds,
  };
}

function opEvents({ events, names, opCount }: Profile): (Work & { shape: number[] })[] {
  const { kinds, startsMs, endsMs, flops, bf16Flops, bytes } = events;
  const calls: (Work & { shape: number[] })[] = [];
  kinds.forEach((kind, i) => {
    if (kind >= opCount) return;
    calls.push({
      op: names[kind]!,
      calls: 1,
      milliseconds: endsMs[i]! - startsMs[i]!,
      flops: flops[i]!,
      bf16Flops: bf16Flops[i]!,
      bytes: bytes[i]!,
      shape: eventShape(events, i),
    });
  });
  return calls;
}

/** The sizes that the i-th event is known by; empty for calls of the engine. */
export function eventShape({ shapes }: Profile["events"], i: number): number[] {
  return [...shapes.subarray(4 * i, 4 * i + 4)].filter((size) => size >= 0);
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

function byTime<Row extends OpRow>(rows: Row[]): Row[] {
  return rows.sort((a, b) => b.milliseconds - a.milliseconds);
}

function sum<T>(items: readonly T[], amountOf: (item: T) => number): number {
  return items.reduce((total, item) => total + amountOf(item), 0);
}
