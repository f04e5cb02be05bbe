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

/** `OpWork` of `native/ops/op_work.h`. */
export interface OpWork {
  readonly flops: number;
  readonly bf16Flops: number;
  readonly bytes: number;
  /** As many sizes as the op's calls are known by. */
  readonly shape: readonly number[];
}

/** Counters of a kernel on the emulator; see `Traffic` of `native/emulator/ptx/interpreter.h`. */
export interface KernelTraffic {
  readonly globalSectors: number;
  readonly globalIdealSectors: number;
  readonly sharedWavefronts: number;
  readonly sharedIdealWavefronts: number;
}

/** An op whose arguments are in a GPU's memory. */
export interface GpuCall {
  /** Enqueues the op. */
  run(): void;
  /** Seconds that the op takes on the GPU, by events, with nothing of it in L2 beforehand. */
  time(): number;
  /** Copies what the op may have written back to the arrays that it was prepared with. @throws Error if it wrote to others */
  fetch(): void;
  /** Gives the memory back; nothing else may follow. */
  release(): void;
}

/** What the driver tells about a GPU; versions are 1000 * major + 10 * minor of CUDA. */
export interface GpuFacts {
  readonly name: string;
  /** 10 * major + minor. */
  readonly computeCapability: number;
  readonly multiprocessors: number;
  readonly memoryBytes: number;
  readonly l2Bytes: number;
  /** The highest that the GPU may run at; 0 where the driver does not tell. */
  readonly clockKhz: number;
  readonly memoryClockKhz: number;
  readonly driverVersion: number;
  readonly runtimeVersion: number;
}

export interface OpenedGpu {
  readonly facts: GpuFacts;
  /** @param name of an op, or "cublaslt": the op `matmul` by cuBLASLt whatever its shape */
  prepare(name: string, args: OpArguments): GpuCall;
  /** What kernels reach that do one thing only; see `GpuBench::ceilings` of `native/cuda/gpu_bench.h`. */
  ceilings(
    bytes: number,
    rounds: number,
    repeats: number,
  ): { readBytesPerSecond: number; copyBytesPerSecond: number; fp32FlopsPerSecond: number };
}

interface TestingAddon {
  runOp(cpu: CpuPath, threads: number, name: string, args: OpArguments): void;
  /** Seconds per call, the mean over `calls` calls one after the other. */
  timeOp(cpu: CpuPath, threads: number, name: string, args: OpArguments, calls: number): number;
  /** What a call with these arguments has to do. */
  opWork(name: string, args: OpArguments): OpWork;
  opNames(): string[];
  /** Opens a GPU of the CUDA backend's library that is found, for the rest of the process the same one. @throws Error */
  openGpu(index: number): OpenedGpu;
  readonly emulator: {
    /** Starts the emulated GPU anew. */
    configure(settings: { countTraffic: number; interpreterThreads: number }): void;
    /** Since it was started, by kernel. */
    traffic(): Record<string, KernelTraffic>;
  };
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
