/** What a benchmark run writes: a machine header and one row per measurement and peer. */
import { z } from "zod";

/** Units of a row's values. Rates (`.../s`) are better when higher, seconds and bytes when lower. */
const units = ["s", "bytes", "GFLOP/s", "GB/s", "tokens/s", "frames/s", "steps/s"] as const;
export type Unit = (typeof units)[number];

const measured = z.number().positive().nullable();

const amount = z.number().min(0);

/** What a call has to do, whatever it takes for it. */
const countedSchema = z.strictObject({
  /** Floating-point operations in fp32; products of bf16 numbers. */
  flops: amount,
  bf16Flops: amount,
  /** Each operand read or written once. */
  bytes: amount,
  /**
   * 32-byte sectors of global memory and passes over the banks of shared memory that the kernels' requests took, and what they
   * would have taken at best; counted on the emulator only, and without cuBLASLt's part.
   */
  sectors: amount.nullable(),
  idealSectors: amount.nullable(),
  wavefronts: amount.nullable(),
  idealWavefronts: amount.nullable(),
  /** Seconds below which no GPU of this name can stay: the work at its data-sheet peaks. */
  floors: z.record(z.string(), amount),
});
export type Counted = z.infer<typeof countedSchema>;

const rowSchema = z.strictObject({
  /** `<suite>/<what>/...`; rows of one measurement against several peers share it. */
  id: z.string().regex(/^[\w-]+(\/[\w.-]+)+$/),
  unit: z.enum(units),
  /**
   * Median over the repeats; null where the measurement could not be made, and then `note` says why, or on the emulated GPU, which
   * has no times.
   */
  value: measured,
  /** (75th - 25th percentile) / median of ours. */
  spread: z.number().min(0).nullable(),
  /** Counted floating-point operations per second, in 10^9. */
  gflopsPerSecond: measured,
  /** Bytes that must move per second, in 10^9: each operand read or written once. */
  gigabytesPerSecond: measured,
  /** Of the peak that limits this measurement, as measured in the same run. */
  percentOfPeak: measured,
  /** Name, variant and precision of what ours is compared with. */
  peer: z.string().min(1).nullable(),
  /** Median of the peer's repeats, interleaved with ours; null where it did not run. */
  peerValue: measured,
  peerSpread: z.number().min(0).nullable(),
  /** How many times better ours is than the peer. */
  ratio: measured,
  note: z.string().nullable(),
  /** Of kernels on a GPU only. */
  counted: countedSchema.optional(),
});
export type Row = z.infer<typeof rowSchema>;

/** What a GPU reached at the start of the run. */
const ceilingsSchema = z.strictObject({
  readGigabytesPerSecond: z.number().positive(),
  /** Read and written bytes. */
  copyGigabytesPerSecond: z.number().positive(),
  fp32GflopsPerSecond: z.number().positive(),
  /** Of a large product by cuBLASLt. */
  bf16GflopsPerSecond: z.number().positive(),
});
export type Ceilings = z.infer<typeof ceilingsSchema>;

const gpuSchema = z.strictObject({
  name: z.string(),
  computeCapability: z.string(),
  multiprocessors: z.int().positive(),
  memoryGb: z.number().positive(),
  l2Mb: z.number().positive(),
  /** The highest clocks that it may run at; null where the driver does not tell. */
  clockMhz: z.number().positive().nullable(),
  memoryClockMhz: z.number().positive().nullable(),
  /** The newest CUDA that the driver supports, and the one that the backend was built with. */
  driverCuda: z.string(),
  runtimeCuda: z.string(),
  /** Null on the emulated GPU. */
  ceilings: ceilingsSchema.nullable(),
});
export type GpuMachine = z.infer<typeof gpuSchema>;

const machineSchema = z.strictObject({
  cpuModel: z.string(),
  cores: z.int().positive(),
  memoryGb: z.number().positive(),
  platform: z.string(),
  /** Instruction-set path of the engine. */
  cpuPath: z.enum(["portable", "avx2", "avx512", "avx512_bf16"]),
  threads: z.int().positive(),
  node: z.string(),
  /** Null outside a git work tree. */
  commit: z.string().nullable(),
  /** Whether the work tree differed from the commit. */
  dirty: z.boolean(),
  /** When the run began, ISO 8601. */
  date: z.string(),
  /** Load average over one minute when the run began. */
  loadAverage: z.number().min(0),
  /** Share of all cores that others used in the second before the run and in the one after it, 0 to 1. */
  busyBefore: z.number().min(0).max(1),
  busyAfter: z.number().min(0).max(1).nullable(),
  /** Peaks measured at the start of the run with the engine's threads and path. */
  peaks: z.strictObject({
    fp32GflopsPerSecond: z.number().positive(),
    bf16GflopsPerSecond: z.number().positive().nullable(),
    readGigabytesPerSecond: z.number().positive(),
  }),
  /** Timed repeats of each measurement. */
  repeats: z.int().positive(),
  /** Whether the run was shortened with `--quick`; such a run decides nothing. */
  quick: z.boolean(),
  /** The peers that ran, and why others did not. */
  peers: z.array(z.string()),
  /** Of the suite `kernels` only. */
  gpu: gpuSchema.optional(),
});
export type Machine = z.infer<typeof machineSchema>;
export type Peaks = Machine["peaks"];

const resultsSchema = z.strictObject({ machine: machineSchema, rows: z.array(rowSchema) });
export type Results = z.infer<typeof resultsSchema>;

/** @throws Error naming `source` and every field that is not as the schema wants it */
export function parseResults(text: string, source: string): Results {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${source}: expected the JSON that --json writes, received something else`, { cause });
  }
  const result = resultsSchema.safeParse(content);
  if (result.success) return result.data;
  throw new Error(`${source}: expected the JSON that --json writes\n${z.prettifyError(result.error)}`);
}

/** What `parseResults` reads. One row per line, so that two runs can be compared line by line. */
export function toJson({ machine, rows }: Results): string {
  const lines = rows.map((row) => `    ${JSON.stringify(row)}`).join(",\n");
  return `{\n  "machine": ${JSON.stringify(machine, null, 2).replaceAll("\n", "\n  ")},\n  "rows": [\n${lines}\n  ]\n}\n`;
}

/** How many times better ours is. */
export function ratioOf(unit: Unit, value: number, peerValue: number): number {
  return unit.endsWith("/s") ? value / peerValue : peerValue / value;
}

/** A row in which everything but the given fields is null. */
export function row(fields: Pick<Row, "id" | "unit"> & Partial<Row>): Row {
  return {
    value: null,
    spread: null,
    gflopsPerSecond: null,
    gigabytesPerSecond: null,
    percentOfPeak: null,
    peer: null,
    peerValue: null,
    peerSpread: null,
    ratio: null,
    note: null,
    ...fields,
  };
}
