import { existsSync } from "node:fs";
import path from "node:path";
import { loadTestingAddon, testingAddonFile } from "../testing-addon.js";

/** What a C pointer may be given as: an address, memory of JavaScript, or null. */
export type Pointer = bigint | NodeJS.TypedArray | null;

export interface Settings {
  seed?: number;
  memoryBudgetBytes?: number;
  lazy?: 0 | 1;
  checks?: 0 | 1;
  randomInterleaving?: 0 | 1;
  asyncCopies?: 0 | 1 | 2;
  countTraffic?: 0 | 1;
  interpreterThreads?: number;
  deviceCount?: number;
  graphs?: 0 | 1;
  collectiveDeadlineMs?: number;
}

export interface Kernels {
  launchWithChevrons(y: bigint, n: number, stream: Pointer): number;
  deviceName(name: Uint8Array, bytes: number): number;
  setFactors(values: Float32Array): number;
  blocksPerMultiprocessor(threads: number, dynamicSharedBytes: number): number;
}

type CFunction = (...args: (Pointer | number | string)[]) => number;

interface Emulator {
  runtime: Record<string, CFunction> & {
    cudaGetErrorName(error: number): string;
    cudaGetErrorString(error: number): string;
  };
  cublasLt(): Record<string, CFunction>;
  nccl(): Record<string, CFunction> & { getLastError(communicator: Pointer): string };
  configure(settings: Settings): void;
  violation(device: number): string;
  refusal(): string;
  memory(device: number): Record<"currentBytes" | "peakBytes" | "allocations" | "pinnedAllocations", number>;
  calls(
    device: number,
  ): Record<
    "kernelLaunches" | "products" | "copies" | "fills" | "waits" | "graphs" | "graphLaunches",
    number
  >;
  traffic(): Record<string, Record<string, number>>;
  launch(
    kernel: bigint,
    grid: Uint32Array,
    block: Uint32Array,
    args: NodeJS.TypedArray[],
    sharedBytes: number,
    stream: Pointer,
  ): number;
  kernel(name: string): bigint;
  copyBytes(to: Pointer, from: Pointer, bytes: number): void;
  openKernels(file: string): Kernels;
}

export const emulator = loadTestingAddon<{ emulator: Emulator }>().emulator;
export const runtime = emulator.runtime;

const folder = path.dirname(testingAddonFile);
const suffix = process.platform === "darwin" ? "dylib" : "so";
/** The library that stands for the CUDA runtime, cuBLASLt and NCCL. */
export const emulatorFile = path.join(folder, `libsightline_emulator.${suffix}`);
const kernelsFile = path.join(folder, `libsightline_test_kernels.${suffix}`);
/** Empty, or why tests with kernels cannot run. */
export const withoutKernels = existsSync(kernelsFile)
  ? ""
  : " (skipped: there was no nvcc to compile kernels)";
export const openKernels = () => emulator.openKernels(kernelsFile);

/** cudaError_t, cudaMemcpyKind and flags, as the tests need them. */
export const errors = {
  invalidValue: 1,
  memoryAllocation: 2,
  invalidConfiguration: 9,
  invalidDeviceFunction: 98,
  noDevice: 100,
  invalidDevice: 101,
  invalidHandle: 400,
  notReady: 600,
  illegalAddress: 700,
  launchFailure: 719,
  captureUnsupported: 900,
  captureInvalidated: 901,
  captureMerge: 902,
  captureUnjoined: 904,
  captureIsolation: 905,
  captureImplicit: 906,
  capturedEvent: 907,
  graphUpdateFailure: 910,
};
export const copy = { toDevice: 1, toHost: 2, within: 3, infer: 4 };
export const nonBlocking = 1;

/** Throws unless a call succeeded. */
export function ok(error: number): void {
  if (error === 0) return;
  throw new Error(`${runtime.cudaGetErrorName(error)}: ${emulator.refusal()}`);
}

/** The handle or pointer that a creating call stores. */
export function created(call: (out: BigUint64Array) => number): bigint {
  const out = new BigUint64Array(1);
  ok(call(out));
  return out[0]!;
}

export const allocate = (bytes: number) => created((out) => runtime.cudaMalloc!(out, bytes));
export const allocatePinned = (bytes: number) => created((out) => runtime.cudaMallocHost!(out, bytes));
export const createStream = (flags = nonBlocking) =>
  created((out) => runtime.cudaStreamCreateWithFlags!(out, flags));
export const createEvent = () => created((out) => runtime.cudaEventCreate!(out));

/** New device memory with these numbers, written before anything else goes on. */
export function upload(values: NodeJS.TypedArray): bigint {
  const pointer = allocate(values.byteLength);
  ok(runtime.cudaMemcpy!(pointer, values, values.byteLength, copy.toDevice));
  return pointer;
}

/** What is in device memory once `stream`'s work so far is done. */
export function download(pointer: bigint, count: number, stream: Pointer = null): Float32Array {
  const values = new Float32Array(count);
  ok(runtime.cudaMemcpyAsync!(values, pointer, values.byteLength, copy.toHost, stream));
  return values;
}

/** What is in host memory now. */
export function peek(pointer: bigint, count: number): Float32Array {
  const values = new Float32Array(count);
  emulator.copyBytes(values, pointer, values.byteLength);
  return values;
}

export const poke = (pointer: bigint, values: Float32Array) =>
  emulator.copyBytes(pointer, values, values.byteLength);

/** Arguments of kernels. */
export const int = (value: number) => Int32Array.of(value);
export const float = (value: number) => Float32Array.of(value);
export const pointer = (value: bigint) => BigUint64Array.of(value);
export const size = (x: number, y = 1, z = 1) => Uint32Array.of(x, y, z);

export const numbers = (count: number, value: (i: number) => number) =>
  Float32Array.from({ length: count }, (_, i) => value(i));

/** In how many of `seeds` runs, each with its own seed and a device as new, `run` gives `expected`. */
export function countRight(seeds: number, settings: Settings, expected: number, run: () => number): number {
  let right = 0;
  for (let seed = 1; seed <= seeds; ++seed) {
    emulator.configure({ ...settings, seed });
    if (run() === expected) ++right;
  }
  return right;
}
