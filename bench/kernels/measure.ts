/** Measures kernels: on a GPU their times, on the emulated one what they have to do and what that takes at least. */
import { floorSeconds, gpus } from "../../src/train/gpus.js";
import { type Ceilings, type Counted, type Row, row } from "../results.js";
import { type Summary, summarize } from "../statistics.js";
import { attempt } from "../suite.js";
import {
  type GpuCall,
  type KernelTraffic,
  type OpenedGpu,
  type OpWork,
  testingAddon,
} from "../testing-addon.js";
import { attentionCases } from "./cases/attention.js";
import { elementCases, optimizerCases } from "./cases/elements.js";
import { productCases } from "./cases/products.js";
import { rowCases, sampleCases } from "./cases/rows.js";
import { type CpuReference, checkResults, gpuLayout, runOn } from "./check.js";
import type { KernelCase } from "./kernel-case.js";
import { type ScaleName, scales } from "./scales.js";

/** The GPUs whose floors are given. */
export const floorGpus = ["a100-80g", "h100-80g"] as const;

/**
 * Rounds that are not counted, and how long they take at least: memory is allocated, cuBLASLt chooses algorithms, and the clocks of a
 * GPU that has been idle while the CPU checked its results go up.
 */
const WARM_UPS = { rounds: 3, milliseconds: 100 } as const;

export interface KernelContext {
  readonly gpu: OpenedGpu;
  readonly reference: CpuReference;
  /** Null on the emulated GPU, where nothing is timed. */
  readonly ceilings: Ceilings | null;
  readonly scales: readonly ScaleName[];
  readonly repeats: number;
  readonly quick: boolean;
  wants(id: string): boolean;
}

/**
 * Every op with a kernel at these scales: at the paper's in bf16, at others in both precisions, in a quick run in fp32 only where there
 * is nothing else.
 */
export function kernelCases(names: readonly ScaleName[], quick: boolean): KernelCase[] {
  return names.flatMap((name) => {
    const scale = scales[name];
    const precisions = quick || name === "paper" ? (["bf16"] as const) : (["bf16", "fp32"] as const);
    return [
      ...precisions.flatMap((precision) =>
        [productCases, attentionCases, rowCases, elementCases].flatMap((list) => list(scale, precision)),
      ),
      ...sampleCases(scale),
      ...optimizerCases(scale),
    ];
  });
}

export async function* measureKernels(context: KernelContext): AsyncGenerator<Row, void> {
  for (const one of kernelCases(context.scales, context.quick)) {
    if (!context.wants(one.id)) continue;
    yield* await attempt(one.id, "s", async () => [measureKernel(context, one)]);
  }
}

/** Checks the case's results; then counts or times it. */
function measureKernel({ gpu, reference, ceilings, repeats }: KernelContext, one: KernelCase): Row {
  const args = one.arguments(gpuLayout, runOn(reference));
  const own = gpu.prepare(one.op, args);
  const comparison = ceilings === null ? undefined : one.comparison?.(args);
  let peer: GpuCall | undefined;
  try {
    const before = totals();
    own.run();
    own.fetch();
    const traffic = ceilings === null ? difference(totals(), before) : null;
    checkResults(one, args, reference);
    const work = testingAddon.opWork(one.op, args);
    const counted = countedOf(work, traffic);
    if (ceilings === null) return row({ id: one.id, unit: "s", counted });

    peer = comparison && gpu.prepare("cublaslt", comparison.args);
    const [ours, theirs] = takeTurns(peer ? [own, peer] : [own], repeats).map(summarize);
    return row({
      ...{ id: one.id, unit: "s", counted },
      ...ourFigures(work, ours!, ceilings),
      ...(theirs && {
        ...{ peer: comparison!.peer, peerValue: theirs.median, peerSpread: theirs.spread },
        ratio: theirs.median / ours!.median,
      }),
    });
  } finally {
    own.release();
    peer?.release();
  }
}

function ourFigures(work: OpWork, { median, spread }: Summary, ceilings: Ceilings) {
  const floor = floorSeconds(work, {
    fp32FlopsPerSecond: 1e9 * ceilings.fp32GflopsPerSecond,
    bf16FlopsPerSecond: 1e9 * ceilings.bf16GflopsPerSecond,
    bytesPerSecond: 1e9 * Math.max(ceilings.readGigabytesPerSecond, ceilings.copyGigabytesPerSecond),
  });
  const flops = work.flops + work.bf16Flops;
  return {
    ...{ value: median, spread },
    gflopsPerSecond: flops > 0 ? flops / median / 1e9 : null,
    gigabytesPerSecond: work.bytes / median / 1e9,
    percentOfPeak: (100 * floor) / median,
  };
}

/** One call of each in turn, after warm-up. @returns the seconds of each */
function takeTurns(calls: readonly GpuCall[], repeats: number): number[][] {
  const round = () => calls.map((call) => call.time());
  const start = performance.now();
  for (let done = 0; done < WARM_UPS.rounds || performance.now() - start < WARM_UPS.milliseconds; done++)
    round();
  const rounds = Array.from({ length: repeats }, round);
  return calls.map((_, index) => rounds.map((seconds) => seconds[index]!));
}

const counters = [
  "globalSectors",
  "globalIdealSectors",
  "sharedWavefronts",
  "sharedIdealWavefronts",
] as const;
type Totals = { [counter in keyof KernelTraffic]: number };

/** What all kernels have done on the emulator so far. */
function totals(): Totals {
  const kernels = Object.values(testingAddon.emulator.traffic());
  const sum = (counter: keyof KernelTraffic) => kernels.reduce((total, kernel) => total + kernel[counter], 0);
  return Object.fromEntries(counters.map((counter) => [counter, sum(counter)])) as Totals;
}

const difference = (after: Totals, before: Totals): Totals =>
  Object.fromEntries(counters.map((counter) => [counter, after[counter] - before[counter]])) as Totals;

function countedOf(work: OpWork, traffic: Totals | null): Counted {
  const { flops, bf16Flops, bytes } = work;
  return {
    ...{ flops, bf16Flops, bytes },
    sectors: traffic?.globalSectors ?? null,
    idealSectors: traffic?.globalIdealSectors ?? null,
    wavefronts: traffic?.sharedWavefronts ?? null,
    idealWavefronts: traffic?.sharedIdealWavefronts ?? null,
    floors: Object.fromEntries(floorGpus.map((name) => [name, floorSeconds(work, gpus[name]!)])),
  };
}
