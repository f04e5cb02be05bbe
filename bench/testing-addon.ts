/** Single ops, through the native module that is built for tests and benchmarks only. */
import { createRequire } from "node:module";
import type { CpuPath, Precision } from "../src/native/types.js";
import { packagePath } from "../src/train/package-path.js";

/**
 * What one argument of an op can be: elements for a pointer, a list for a pointer to pointers, or a scalar. Numbers that an op
 * takes in either form are fp32 in a Float32Array and the bits of bfloat16 in a Uint16Array.
 */
export type OpArgument =
  | Float32Array
  | Float64Array
  | Int32Array
  | Uint32Array
  | Uint16Array
  | BigInt64Array
  | (Float32Array | Uint16Array | null)[]
  | number
  | string
  | boolean
  | null;

/** An op's arguments, named as the fields of its struct in `native/ops/<op>.h`. */
export type OpArguments = Record<string, OpArgument>;

interface TestingAddon {
  runOp(cpu: CpuPath, threads: number, name: string, args: OpArguments): void;
  /** Seconds per call, the mean over `calls` calls one after the other. */
  timeOp(cpu: CpuPath, threads: number, name: string, args: OpArguments, calls: number): number;
  /** The paths that this machine has, the strongest last. */
  availableIsas(): CpuPath[];
  /** 32-bit words of a packed (k, n) matrix. */
  packedSize(cpu: CpuPath, precision: Precision, k: number, n: number): number;
  /** Floats of one layer in a page of the KV cache. */
  pageLayerSize(keyValueHeads: number, headSize: number): number;
  writeSafetensors(
    path: string,
    tensors: readonly { name: string; shape: readonly number[]; data: Float32Array }[],
    metadata: Record<string, string>,
  ): void;
}

/** Built by `node scripts/build-test-addon.mjs`, which `npm run bench` runs first. */
export const testingAddon: TestingAddon = createRequire(import.meta.url)(
  packagePath("build", "testing", "sightline_testing.node"),
);
