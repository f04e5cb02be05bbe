import { loadTestingAddon } from "../testing-addon.js";

/** A kernel argument: device memory (written before the launch unless `initialised` is false), a number, or a structure's bytes. */
export type Argument =
  | { buffer: NodeJS.TypedArray; initialised?: boolean }
  | { u32: number }
  | { s32: number }
  | { f32: number }
  | { f64: number }
  | { u64: bigint }
  | { bytes: Uint8Array };

export interface LaunchSize {
  grid: number[];
  block: number[];
  sharedBytes?: number;
}

export interface CheckOptions {
  seed?: number;
  randomInterleaving?: boolean;
  asyncCopies?: "late" | "early" | "random";
  races?: boolean;
  initialisation?: boolean;
  countTraffic?: boolean;
  instructionsPerBlock?: number;
}

export interface Finding {
  kind: string;
  kernel: string;
  file: string;
  line: number;
  ptxLine: number;
  block: number[];
  warp: number;
  lane: number;
  message: string;
}

export interface Traffic {
  warpInstructions: number;
  mma: number;
  globalRequests: number;
  globalSectors: number;
  globalIdealSectors: number;
  globalBytesRead: number;
  globalBytesWritten: number;
  sharedWavefronts: number;
  sharedIdealWavefronts: number;
  asyncCopies: number;
  barriers: number;
}

interface RunResult {
  traffic?: Traffic;
  violation?: string;
  findings?: Finding[];
}

export const native = loadTestingAddon<{
  availableIsas(): string[];
  parsePtx(
    ptx: string,
  ): { name: string; parameterBytes: number[]; staticSharedBytes: number; sharedGranularity: number }[];
  runPtx(
    ptx: string,
    kernel: string,
    launch: LaunchSize,
    args: Argument[],
    checks: CheckOptions,
    threads: number,
  ): RunResult;
}>();

/** Instruction-set paths that the interpreter has code of its own for. */
export const isas = native.availableIsas().filter((isa) => isa !== "avx512_bf16");

/** Calls `body` with the interpreter on one instruction-set path. */
export function onIsa<T>(isa: string, body: () => T): T {
  const before = process.env.SIGHTLINE_CPU;
  process.env.SIGHTLINE_CPU = isa;
  try {
    return body();
  } finally {
    if (before === undefined) delete process.env.SIGHTLINE_CPU;
    else process.env.SIGHTLINE_CPU = before;
  }
}

const registers = `
  .reg .pred %p<16>;
  .reg .b16 %rs<16>;
  .reg .b32 %r<64>;
  .reg .f32 %f<64>;
  .reg .b64 %rd<64>;
  .reg .f64 %fd<16>;`;

/**
 * A module with one kernel, `kernel`, whose parameters of the given types are called p0, p1, ...
 *
 * @param declarations module scope, for example `.extern .shared`
 */
export function ptxModule(parameterTypes: string[], body: string, declarations = ""): string {
  const parameters = parameterTypes.map((type, k) => `  .param .${type} p${k}`).join(",\n");
  return `.version 8.0
.target sm_80
.address_size 64
${declarations}
.visible .entry kernel(
${parameters}
)
{${registers}
${body}
  ret;
}
`;
}

/** Runs a kernel that must not break any rule. */
export function run(
  ptx: string,
  launch: LaunchSize,
  args: Argument[],
  checks: CheckOptions = {},
  options: { kernel?: string; threads?: number } = {},
): Traffic {
  const result = native.runPtx(ptx, options.kernel ?? "kernel", launch, args, checks, options.threads ?? 1);
  if (result.violation !== undefined) throw new Error(result.violation);
  return result.traffic!;
}

/** Runs a kernel that must break a rule. @returns its findings */
export function findings(
  ptx: string,
  launch: LaunchSize,
  args: Argument[],
  checks: CheckOptions = {},
  options: { kernel?: string; threads?: number } = {},
): Finding[] {
  const result = native.runPtx(ptx, options.kernel ?? "kernel", launch, args, checks, options.threads ?? 1);
  if (result.findings === undefined) throw new Error("expected a violation; the launch broke no rule");
  return result.findings;
}

/** PTX that puts the global thread number into %r0 and the address `p<k>` + number x bytes into %rd<k>. */
export function addressesByThread(bytes: number[]): string {
  return `
  mov.u32 %r60, %ctaid.x;
  mov.u32 %r61, %ntid.x;
  mov.u32 %r62, %tid.x;
  mad.lo.s32 %r0, %r60, %r61, %r62;
${bytes.map((size, k) => `  ld.param.u64 %rd${k}, [p${k}];\n  mad.wide.u32 %rd${k}, %r0, ${size}, %rd${k};`).join("\n")}
`;
}
