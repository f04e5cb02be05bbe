/** One op on one shape, with what it costs and how its result is checked. */

import type { Precision } from "../src/native/types.js";
import type { PeerRequest } from "./comparison.js";
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

/** A matrix (rows, columns), itself or transposed, packed as the B of a product. */
export function packMatrix(
  { cpu, threads }: BenchContext,
  precision: Precision,
  matrix: Float32Array,
  { rows, columns, transpose }: { rows: number; columns: number; transpose: boolean },
): Float32Array {
  const [k, n] = transpose ? [columns, rows] : [rows, columns];
  const [b_row_stride, b_column_stride] = transpose ? [1, columns] : [columns, 1];
  const packed = new Float32Array(testingAddon.packedSize(cpu, precision, k, n));
  const args = { b: matrix, b_row_stride, b_column_stride, packed, k, n, precision };
  testingAddon.runOp(cpu, threads, "pack_matrix", args);
  return packed;
}

/**
 * What a sum of `terms` products of numbers in [-1, 1] may err by: some standard deviations of independent roundings, of
 * the partial sums and, for bf16, of the operands to 8 bits.
 */
export function productError(terms: number, precision: Precision): number {
  return 8 * terms * fp32Epsilon + (precision === "bf16" ? 6 * Math.sqrt(terms) * 2 ** -8 : 0);
}

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

/** The numbers as an operand of this precision: themselves, or the bits of the nearest bfloat16, ties to even. */
export function stored(precision: Precision, numbers: Float32Array): Float32Array | Uint16Array {
  if (precision === "fp32") return numbers;
  const words = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  return Uint16Array.from(words, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}

/** Element i of what `stored` returned. */
export function read(numbers: Float32Array | Uint16Array, i: number): number {
  if (numbers instanceof Float32Array) return numbers[i]!;
  return new Float32Array(Uint32Array.of(numbers[i]! << 16).buffer)[0]!;
}

/** The most that storing a result errs by. */
export function storingError(result: number, precision: Precision): number {
  return precision === "bf16" ? 2 ** -8 * Math.abs(result) : 0;
}

/** Evenly spaced indices below `count`, first and last among them. */
export function samples(count: number, wanted = 16): number[] {
  const number = Math.min(count, wanted);
  return Array.from({ length: number }, (_, i) => Math.round((i * (count - 1)) / Math.max(1, number - 1)));
}
