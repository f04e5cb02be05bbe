import type { OpRow, ProfileReport } from "../train/profile-report.js";
import { formatTable } from "./table.js";

/** Shapes that are printed; profile.json has all. */
const SHAPES = 12;

const RATES = ["GFLOP/s", "GB", "GB/s", "% of roof", "bound by"];

/** The report as text: all ops, then the engine's calls, then the costliest shapes. */
export function formatProfile(report: ProfileReport): string {
  const { peaks, milliseconds, ops, calls, shapes, eventsLeftOut } = report;
  const { outsideOpsMilliseconds, idleMilliseconds } = report;
  const share = (part: number): string => `${((100 * part) / milliseconds).toFixed(1)} %`;
  const total = (name: string, ms: number): string[] => [name, "-", ms.toFixed(1), share(ms), ...dashes(5)];
  const opCells = (row: OpRow): string[] => [
    String(row.calls),
    row.milliseconds.toFixed(1),
    share(row.milliseconds),
    row.gflopsPerSecond.toFixed(1),
    row.gigabytes.toFixed(2),
    row.gigabytesPerSecond.toFixed(1),
    row.percentOfRoof?.toFixed(0) ?? "-",
    row.bound,
  ];
  const sections = [
    formatTable([
      ["op", "calls", "ms", "share", ...RATES],
      ...ops.map((row) => [row.op, ...opCells(row)]),
      total("outside ops", outsideOpsMilliseconds),
      total("idle", idleMilliseconds),
      total("total", milliseconds),
    ]),
    formatTable([
      ["engine call", "calls", "ms", "share", "in ops", "outside ops"],
      ...calls.map(({ call, calls, milliseconds, opMilliseconds, outsideOpsMilliseconds }) => [
        call,
        String(calls),
        milliseconds.toFixed(1),
        share(milliseconds),
        opMilliseconds.toFixed(1),
        outsideOpsMilliseconds.toFixed(1),
      ]),
    ]),
    formatTable([
      ["costliest shapes", "calls", "ms", "share", ...RATES],
      ...shapes.slice(0, SHAPES).map((row) => [`${row.op} ${row.shape.join(" x ")}`, ...opCells(row)]),
    ]),
    formatRoof(peaks),
  ];
  if (eventsLeftOut > 0)
    sections.push(`shapes and trace leave out the last ${eventsLeftOut} events; the other tables have all`);
  return sections.join("\n\n");
}

function formatRoof(peaks: ProfileReport["peaks"]): string {
  const { threads, cpu, fp32GflopsPerSecond, bf16GflopsPerSecond, readGigabytesPerSecond } = peaks;
  const bf16 = bf16GflopsPerSecond === null ? "" : `, ${bf16GflopsPerSecond.toFixed(0)} in bf16`;
  return (
    `roof of ${threads} ${threads === 1 ? "thread" : "threads"} on ${cpu}: ${fp32GflopsPerSecond.toFixed(0)} GFLOP/s in ` +
    `fp32${bf16}; ${readGigabytesPerSecond.toFixed(1)} GB/s from memory\n` +
    "more than 100 % of it: operands came from a cache"
  );
}

function dashes(count: number): string[] {
  return Array.from({ length: count }, () => "-");
}
