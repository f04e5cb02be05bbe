import { describe, expect, test } from "vitest";
import { type TraceEvent, toTrace } from "../../src/train/trace.js";
import { workOnEverything } from "../native/profiled-work.js";
import { createTinyEngine } from "../native/tiny-engine.js";
import { handMadeProfile } from "./hand-made-profile.js";

describe("a trace", () => {
  test("has calls and ops on one track, in microseconds, each op with what it did", () => {
    const { traceEvents, displayTimeUnit, otherData } = toTrace(handMadeProfile());
    expect({ displayTimeUnit, otherData }).toEqual({
      displayTimeUnit: "ms",
      otherData: { eventsLeftOut: 0 },
    });
    expect(traceEvents.slice(0, 2).map(({ name, ph, args }) => [name, ph, args])).toEqual([
      ["process_name", "M", { name: "sightline" }],
      ["thread_name", "M", { name: "engine" }],
    ]);
    expect(traceEvents.slice(2).map(({ name, cat, ts, dur }) => [name, cat, ts, dur])).toEqual([
      ["generate", "call", 0, 6000],
      ["decode", "call", 1000, 4000],
      ["matmul", "op", 1000, 1000],
      ["matmul", "op", 2000, 3000],
      ["forward", "call", 8000, 4000],
      ["matmul", "op", 8000, 2000],
      ["add", "op", 11000, 1000],
    ]);
    expect(traceEvents.at(-1)).toEqual({
      name: "add",
      ph: "X",
      pid: 1,
      tid: 1,
      cat: "op",
      ts: 11000,
      dur: 1000,
      args: { shape: "32", flops: 32, bytes: 384, "GFLOP/s": 0.000032, "GB/s": 0.000384 },
    });
  });

  test("of a real profile is sorted, and its events nest", async () => {
    const engine = await createTinyEngine();
    const { profile } = await engine.profile(() => workOnEverything(engine));
    engine.dispose();
    const trace = JSON.parse(JSON.stringify(toTrace(profile))) as { traceEvents: Required<TraceEvent>[] };
    const events = trace.traceEvents.filter(({ ph }) => ph === "X");
    expect(events).toHaveLength(profile.events.kinds.length);

    // In whole nanoseconds, which the decimals of a microsecond stand for.
    const spans = events.map(({ ts, dur }) => {
      const start = Math.round(ts * 1e3);
      return { start, end: start + Math.round(dur * 1e3) };
    });
    const enclosing: { start: number; end: number }[] = [];
    let lastStart = 0;
    for (const span of spans) {
      expect(span.end).toBeGreaterThanOrEqual(span.start);
      expect(span.start).toBeGreaterThanOrEqual(lastStart);
      lastStart = span.start;
      while (enclosing.length > 0 && enclosing.at(-1)!.end <= span.start) enclosing.pop();
      if (enclosing.length > 0) expect(span.end).toBeLessThanOrEqual(enclosing.at(-1)!.end);
      enclosing.push(span);
    }
    for (const { name, cat, args } of events) {
      if (cat !== "op") continue;
      expect(args.shape, name).toMatch(/^\d+( x \d+)*$/);
      expect(args.bytes, name).toBeGreaterThan(0);
    }
  });
});
