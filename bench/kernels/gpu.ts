/** The GPU that kernels are measured on, or the emulated one. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { loadAddon } from "../../src/native/addon.js";
import { packagePath } from "../../src/train/package-path.js";
import type { Ceilings, GpuMachine } from "../results.js";
import { type GpuFacts, type OpenedGpu, testingAddon } from "../testing-addon.js";
import { numbers } from "./kernel-case.js";

/** The device asked for is not there: the message says what is missing, and the way out. */
export class MissingDeviceError extends Error {}

/** `cuda`, `cuda:1` and so on, or the emulated GPU. */
export interface GpuDevice {
  readonly index: number;
  readonly emulated: boolean;
}

/** @returns undefined for what is no device */
export function parseDevice(text: string): GpuDevice | undefined {
  if (text === "cuda-emulated") return { index: 0, emulated: true };
  const match = /^cuda(?::(\d+))?$/.exec(text);
  return match === null ? undefined : { index: Number(match[1] ?? 0), emulated: false };
}

/**
 * Opens the device. On the emulated GPU `threads` interpret the kernels, with all checks, and count their traffic.
 *
 * @throws MissingDeviceError
 */
export function openDevice({ index, emulated }: GpuDevice, threads: number): OpenedGpu {
  if (emulated) {
    const library = emulatedLibrary();
    process.env.SIGHTLINE_CUDA_LIBRARY = library;
    process.env.SIGHTLINE_CUBLASLT = join(dirname(library), "libsightline_emulator.so");
    testingAddon.emulator.configure({ countTraffic: 1, interpreterThreads: threads });
  } else {
    process.env.SIGHTLINE_CUDA_LIBRARY ??= join(dirname(loadAddon().file), "libsightline_cuda.so");
  }
  try {
    return testingAddon.openGpu(index);
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    throw code === "UNSUPPORTED" ? new MissingDeviceError(message) : error;
  }
}

/** The CUDA backend as it is built for the emulator. @throws MissingDeviceError */
function emulatedLibrary(): string {
  const library = packagePath("build", "testing", "libsightline_cuda_emulated.so");
  if (existsSync(library)) return library;
  throw new MissingDeviceError(
    `device: the CUDA backend for the emulator is missing: expected ${library}. It is built beside the test addon where there is ` +
      "an nvcc of CUDA 12.0 or newer: put nvcc's folder into PATH or set CUDA_HOME, then run `npx cmake-js configure` and " +
      "`node scripts/build-test-addon.mjs`",
  );
}

/** Bytes that the streaming kernels go through: many times any L2. */
const CEILING_BYTES = 2 ** 30;
/** 8 multiply-adds each: about a millisecond. */
const CEILING_ROUNDS = 8192;
/** M, N and K of the product that shows what tensor cores reach. */
const CEILING_PRODUCT = 8192;

/** Measures what the GPU reaches, each figure the best of `repeats`. The product comes first: it takes long enough for clocks to go up. */
export function measureCeilings(gpu: OpenedGpu, repeats: number): Ceilings {
  const n = CEILING_PRODUCT;
  const operand = (key: number) => numbers("bf16", n * n, key);
  const product = gpu.prepare("cublaslt", {
    ...{
      a: operand(1),
      a_row_stride: n,
      a_column_stride: 1,
      b: operand(2),
      b_row_stride: 1,
      b_column_stride: n,
    },
    ...{ packed_b: null, c: new Uint16Array(n * n), c_row_stride: n, bias: null, addend: null },
    ...{ addend_row_stride: 0, m: n, n, k: n, alpha: 1, accumulate: false, precision: "bf16" },
  });
  try {
    const seconds = Array.from({ length: repeats }, () => product.time());
    const streamed = gpu.ceilings(CEILING_BYTES, CEILING_ROUNDS, repeats);
    return {
      readGigabytesPerSecond: streamed.readBytesPerSecond / 1e9,
      copyGigabytesPerSecond: streamed.copyBytesPerSecond / 1e9,
      fp32GflopsPerSecond: streamed.fp32FlopsPerSecond / 1e9,
      bf16GflopsPerSecond: (2 * n ** 3) / Math.min(...seconds) / 1e9,
    };
  } finally {
    product.release();
  }
}

/** The header's part about the GPU. */
export function describeGpu(facts: GpuFacts, ceilings: Ceilings | null): GpuMachine {
  const version = (number: number) => `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`;
  const megahertz = (khz: number) => (khz > 0 ? khz / 1000 : null);
  return {
    name: facts.name,
    computeCapability: `${Math.floor(facts.computeCapability / 10)}.${facts.computeCapability % 10}`,
    multiprocessors: facts.multiprocessors,
    memoryGb: facts.memoryBytes / 2 ** 30,
    l2Mb: facts.l2Bytes / 2 ** 20,
    clockMhz: megahertz(facts.clockKhz),
    memoryClockMhz: megahertz(facts.memoryClockKhz),
    driverCuda: version(facts.driverVersion),
    runtimeCuda: version(facts.runtimeVersion),
    ceilings,
  };
}
