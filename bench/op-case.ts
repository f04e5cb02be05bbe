/** One op on one shape, with what it costs and how its result is checked. */
import type { PeerRequest } from "./comparison.js";
import type { Precision } from "./models.js";
import type { BenchContext } from "./suite.js";
import { type OpArguments, testingAddon } from "./testing-addon.js";

export interface OpCase {
  /** `ops/<op>/...` */
  readonly id: string;
  readonly op: string;
  /** What limits it: arithmetic of a precision, or memory. Decides unit and peak. */
  readonly limit: Precision | "memory";
  /** Counted floating-point operations of one call; omitted where they are not what counts. */
  readonly flops?: number;
  /** Bytes of the operands of one call, each read or written once. */
  readonly bytes: number;
  /** Allocates and fills the arguments, which may be large: called when the case is measured. */
  prepare(context: BenchContext): PreparedOp;
}

export interface PreparedOp {
  readonly args: OpArguments;
  /** Compares elements of the result of one call with a plain computation in float64. @throws Error */
  check(): void;
  readonly peers?: readonly PeerRequest[];
}

export const runOp = ({ cpu, threads }: BenchContext, op: string, args: OpArguments): void =>
  testingAddon.runOp(cpu, threads, op, args);

/** @throws Error unless `received` is within `allowed` of `expected` */
export function requireClose(what: string, received: number, expected: number, allowed: number): void {
  if (Math.abs(received - expected) <= allowed) return;
  throw new Error(
    `wrong result, not timed: ${what}: expected ${expected} within ${allowed}, received ${received}`,
  );
}

/** Rounding of one fp32 operation, relative. */
export const fp32Epsilon = 2 ** -24;

/** An output before its op has written it: an element that the op leaves out fails its check. */
export const unwritten = (count: number): Float32Array => new Float32Array(count).fill(Number.NaN);

/** Evenly spaced indices below `count`, first and last among them. */
export function samples(count: number, wanted = 16): number[] {
  const number = Math.min(count, wanted);
  return Array.from({ length: number }, (_, i) => Math.round((i * (count - 1)) / Math.max(1, number - 1)));
}
