/** A profile for trace viewers: chrome://tracing, ui.perfetto.dev. */
import type { Profile } from "../native/types.js";
import { eventShape } from "./profile-report.js";

/** A complete event ("X") or metadata ("M") of the Trace Event Format. */
export interface TraceEvent {
  readonly name: string;
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  /** What kind of event it is: `op`, or `call` of the engine. */
  readonly cat?: "op" | "call";
  /** Start and duration in microseconds. */
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, string | number>>;
}

export interface Trace {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ms";
  readonly otherData: Readonly<Record<string, number>>;
}

/** The engine's thread: its calls, and the ops inside each. */
const thread = { pid: 1, tid: 1 } as const;

/** The JSON object form of the Trace Event Format; events nest and are sorted by time. */
export function toTrace({ events, names, opCount, eventsLeftOut }: Profile): Trace {
  const traceEvents: TraceEvent[] = [
    { name: "process_name", ph: "M", ...thread, args: { name: "sightline" } },
    { name: "thread_name", ph: "M", ...thread, args: { name: "engine" } },
  ];
  events.kinds.forEach((kind, i) => {
    const [start, end] = [nanoseconds(events.startsMs[i]!), nanoseconds(events.endsMs[i]!)];
    const isOp = kind < opCount;
    traceEvents.push({
      name: names[kind]!,
      ph: "X",
      ...thread,
      cat: isOp ? "op" : "call",
      ts: start / 1e3,
      dur: (end - start) / 1e3,
      ...(isOp && { args: describeOp(events, i, end - start) }),
    });
  });
  return { traceEvents, displayTimeUnit: "ms", otherData: { eventsLeftOut } };
}

function describeOp(
  events: Profile["events"],
  i: number,
  duration: number,
): Readonly<Record<string, string | number>> {
  const flops = events.flops[i]! + events.bf16Flops[i]!;
  const bytes = events.bytes[i]!;
  const perNanosecond = (amount: number): number =>
    duration > 0 ? Number((amount / duration).toPrecision(4)) : 0;
  return {
    shape: eventShape(events, i).join(" x "),
    flops,
    bytes,
    // Per nanosecond is 10^9 per second.
    "GFLOP/s": perNanosecond(flops),
    "GB/s": perNanosecond(bytes),
  };
}

/** Whole nanoseconds, as the clock has them: sums and differences of milliseconds would not be exact. */
function nanoseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1e6);
}
