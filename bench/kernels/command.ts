/** The command that measures kernels on a GPU. */
import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { measurePeaks } from "../../src/native/peaks.js";
import type { CpuPath } from "../../src/native/types.js";
import { busyShare, describeMachine } from "../machine.js";
import { count, pattern } from "../options.js";
import { rowLine } from "../report.js";
import { type Ceilings, type Machine, type Row, toJson } from "../results.js";
import { describeGpu, type GpuDevice, measureCeilings, openDevice, parseDevice } from "./gpu.js";
import { type KernelContext, measureKernels } from "./measure.js";
import { type ScaleName, scales } from "./scales.js";

interface KernelOptions {
  device: GpuDevice;
  json?: string;
  quick: boolean;
  repeats?: number;
  threads: number;
  scale?: ScaleName;
  only?: RegExp;
}

function device(text: string): GpuDevice {
  const parsed = parseDevice(text);
  if (parsed !== undefined) return parsed;
  throw new InvalidArgumentError("expected cuda, cuda:<number> or cuda-emulated.");
}

/**
 * @param cpu the instruction-set path that results are checked against
 * @param say takes the output, line by line
 */
export function addKernelsCommand(program: Command, cpu: CpuPath, say: (text: string) => void): void {
  program
    .command("kernels")
    .description("measure single ops on a GPU, or count their work on the emulated one")
    .requiredOption(
      "--device <device>",
      "cuda, cuda:<number>, or cuda-emulated, which counts and has no times",
      device,
    )
    .option("--json <file>", "also write the rows as JSON")
    .option("--quick", "fewer repeats, and fp32 only where there is nothing else", false)
    .addOption(
      new Option("--scale <name>", "sizes (default: paper and small, on the emulated GPU reduced)").choices(
        Object.keys(scales),
      ),
    )
    .option("--repeats <n>", "timed repeats of each measurement (default: 20, with --quick 5)", count)
    .option(
      "--threads <n>",
      "threads that check the results, and that interpret emulated kernels",
      count,
      availableParallelism(),
    )
    .option("--only <pattern>", "measure only what has an id that matches", pattern)
    .action((options: KernelOptions) => measure(options, cpu, say));
}

/** @throws MissingDeviceError; Error when a kernel could not be measured, once the others have been */
async function measure(options: KernelOptions, cpu: CpuPath, say: (text: string) => void): Promise<void> {
  const { device, quick, threads, only, json } = options;
  const gpu = openDevice(device, threads);
  const repeats = options.repeats ?? (quick ? 5 : 20);
  const ceilings = device.emulated ? null : measureCeilings(gpu, repeats);
  const { fp32GflopsPerSecond, bf16GflopsPerSecond, readGigabytesPerSecond } = await measurePeaks({
    threads,
    cpu,
  });
  const machine: Machine = {
    ...(await describeMachine(cpu, threads)),
    peaks: { fp32GflopsPerSecond, bf16GflopsPerSecond, readGigabytesPerSecond },
    ...{ repeats, quick, gpu: describeGpu(gpu.facts, ceilings) },
    peers: device.emulated ? [] : ["cuBLASLt"],
  };
  say(
    `${gpu.facts.name}, ${gpu.facts.multiprocessors} multiprocessors, commit ${machine.commit ?? "unknown"}`,
  );
  say(ceilingLine(ceilings));

  const rows: Row[] = [];
  const usual = device.emulated ? (["reduced"] as const) : (["paper", "small"] as const);
  const context: KernelContext = {
    ...{ gpu, reference: { cpu, threads }, ceilings, repeats, quick },
    scales: options.scale === undefined ? usual : [options.scale],
    wants: (id) => only === undefined || only.test(id),
  };
  for await (const row of measureKernels(context)) {
    rows.push(row);
    say(rowLine(row));
  }
  const finished = { ...machine, busyAfter: await busyShare() };
  if (json !== undefined) await writeFile(json, toJson({ machine: finished, rows }));
  const failed = rows.filter(({ note }) => note !== null);
  if (failed.length === 0) return;
  throw new Error(
    `${failed.length} of ${rows.length} kernels could not be measured, the first ${failed[0]!.id}`,
  );
}

function ceilingLine(ceilings: Ceilings | null): string {
  if (ceilings === null) return "counted, not timed: an emulator says nothing about speed";
  const { readGigabytesPerSecond, copyGigabytesPerSecond, fp32GflopsPerSecond, bf16GflopsPerSecond } =
    ceilings;
  return (
    `ceilings: ${readGigabytesPerSecond.toFixed(0)} GB/s read, ${copyGigabytesPerSecond.toFixed(0)} GB/s copied, ` +
    `${(fp32GflopsPerSecond / 1000).toFixed(1)} TFLOP/s fp32, ${(bf16GflopsPerSecond / 1000).toFixed(0)} TFLOP/s bf16`
  );
}
