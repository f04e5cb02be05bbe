import type { OpArgument, OpArguments, OpWork } from "../../bench/testing-addon.js";
import type { Precision } from "../../src/native/types.js";
import { useEmulatedCuda } from "../emulated-cuda.js";
import { loadTestingAddon } from "../testing-addon.js";

export type { OpArgument, OpArguments, OpWork };

const addon = loadTestingAddon<{
  runOp(isa: string, threads: number, name: string, args: OpArguments): void;
  opWork(name: string, args: OpArguments): OpWork;
  opNames(): string[];
  availableIsas(): string[];
  packedSize(isa: string, precision: Precision, k: number, n: number): number;
  pageLayerSize(kvHeads: number, headSize: number): number;
}>();

/** Something that runs the ops of `native/ops/op_list.h`. */
export interface Backend {
  name: string;
  /** Runs an op, which writes to the arrays among `args`. */
  run(op: string, args: OpArguments, threads?: number): void;
  /** 32-bit words of a packed (k, n) matrix. */
  packedSize(precision: Precision, k: number, n: number): number;
  /** How it packs matrices, and pages of the KV cache: in panels for its vectors, or row by row. */
  packs: "panels" | "rows";
  /** Whether a sum of products comes in the same order whatever the other sizes of the matrices. */
  sumsInFixedOrder: boolean;
  /** Whether ops on bfloat16 multiply it only, so that what they compute and then multiply is rounded before. */
  roundsOperands: boolean;
}

/** What a call with these arguments has to do. */
export const opWork = addon.opWork;

export const opNames: readonly string[] = addon.opNames();

/** Elements of one layer in a page of the KV cache. */
export const pageLayerSize = addon.pageLayerSize;

/** The CPU's instruction-set paths, as far as this machine has them. */
export const backends: readonly Backend[] = addon.availableIsas().map((isa) => ({
  name: isa,
  run: (op, args, threads = 1) => addon.runOp(isa, threads, op, args),
  packedSize: (precision, k, n) => addon.packedSize(isa, precision, k, n),
  packs: "panels",
  sumsInFixedOrder: true,
  roundsOperands: false,
}));

const emulated = "cuda-emulated";

/**
 * The CUDA backend on the emulated GPU. Every op runs on a GPU of its own with all checks on and streams, warps and copies in
 * an order drawn anew; what the emulator finds is thrown. `threads` is how many interpret the kernel.
 */
export const cudaEmulated: Backend = {
  name: emulated,
  run(op, args, threads = 1) {
    useEmulatedCuda();
    addon.runOp(emulated, threads, op, args);
  },
  packedSize: (precision, k, n) => addon.packedSize(emulated, precision, k, n),
  packs: "rows",
  // cuBLASLt chooses an algorithm by all sizes.
  sumsInFixedOrder: false,
  // Tensor cores multiply bfloat16.
  roundsOperands: true,
};

/** A (k, n) matrix, rows one after the other, packed as the B of `matmul`. */
export function pack(
  backend: Backend,
  precision: Precision,
  matrix: OpArgument,
  k: number,
  n: number,
): Float32Array {
  const packed = new Float32Array(backend.packedSize(precision, k, n));
  backend.run("pack_matrix", { b: matrix, b_row_stride: n, b_column_stride: 1, packed, k, n, precision });
  return packed;
}

/** A (rows, columns) matrix, transposed and packed as the B (columns, rows) of `matmul`. */
export function packTransposed(
  backend: Backend,
  precision: Precision,
  matrix: OpArgument,
  rows: number,
  columns: number,
): Float32Array {
  const packed = new Float32Array(backend.packedSize(precision, columns, rows));
  const transposed = { b: matrix, b_row_stride: 1, b_column_stride: columns };
  backend.run("pack_matrix", { ...transposed, packed, k: columns, n: rows, precision });
  return packed;
}
