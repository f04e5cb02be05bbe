/** The results page: Markdown from the JSON of a run, and from nothing else. */
import { noiseWarning } from "./machine.js";
import type { Counted, GpuMachine, Machine, Results, Row, Unit } from "./results.js";
import { judge, type Target, targets, type Verdict } from "./targets.js";

const suiteTitles: Readonly<Record<string, string>> = {
  ops: "Single ops",
  "train-step": "Training step",
  engine: "Generation",
  rollout: "PPO iteration",
  envs: "Environments",
  kernels: "Kernels",
};

/**
 * @param source name of the JSON file, for the line that says how the page was made
 * @returns Markdown
 */
export function resultsPage(results: Results, source: string): string {
  const { machine, rows } = results;
  const verdicts = targets.map((target) => judge(target, results));
  const warning = noiseWarning(machine);
  const suites = [...new Set(rows.map(suiteOf))];
  const sections = [
    "# Benchmark results",
    `Made by \`npm run bench -- report ${source}\` from [${source}](${source}). Each figure is the median of ` +
      `${machine.repeats} repeats that took turns with the peers', after warm-up; the spread is the distance between ` +
      "the quartiles over the median. A ratio above 1 means that Sightline is better.",
    ...(warning === undefined ? [] : [`**Not a quiet machine:** ${warning}.`]),
    ...(machine.quick ? ["**Shortened with `--quick`:** such a run decides nothing."] : []),
    "## Machine",
    machineTable(machine),
    // They are the CPU engine's.
    ...(machine.gpu === undefined ? ["## Targets", targetTable(verdicts), ...shortfalls(verdicts)] : []),
    ...suites.flatMap((suite) => [
      `## ${suiteTitles[suite] ?? suite}`,
      rowTable(rows.filter((row) => suiteOf(row) === suite)),
    ]),
  ];
  return `${sections.join("\n\n")}\n`;
}

const suiteOf = ({ id }: Row) => id.split("/")[0]!;

function machineTable(machine: Machine): string {
  const { peaks } = machine;
  const commit = machine.commit?.slice(0, 12) ?? "unknown";
  const facts = {
    processor: `${machine.cpuModel}, ${machine.cores} cores, ${machine.memoryGb} GiB`,
    system: `${machine.platform}, Node ${machine.node}`,
    "path and threads": `${machine.cpuPath}, ${machine.threads} threads`,
    commit: machine.dirty ? `${commit} with uncommitted changes` : commit,
    date: machine.date,
    "load average, busy before, busy after": [
      machine.loadAverage.toFixed(2),
      share(machine.busyBefore),
      machine.busyAfter === null ? "-" : share(machine.busyAfter),
    ].join(", "),
    "measured peaks": [
      `${significant(peaks.fp32GflopsPerSecond)} GFLOP/s fp32`,
      ...(peaks.bf16GflopsPerSecond === null
        ? []
        : [`${significant(peaks.bf16GflopsPerSecond)} GFLOP/s bf16`]),
      `${significant(peaks.readGigabytesPerSecond)} GB/s read from memory`,
    ].join(", "),
    peers: machine.peers.join("; "),
    ...(machine.gpu !== undefined && gpuFacts(machine.gpu)),
  };
  return table(["", ""], Object.entries(facts));
}

function gpuFacts(gpu: GpuMachine): Record<string, string> {
  const clocks = [gpu.clockMhz, gpu.memoryClockMhz].map((clock) => (clock === null ? "?" : `${clock} MHz`));
  const { ceilings } = gpu;
  return {
    GPU:
      `${gpu.name}, compute capability ${gpu.computeCapability}, ${gpu.multiprocessors} multiprocessors, ` +
      `${significant(gpu.memoryGb)} GiB, ${significant(gpu.l2Mb)} MiB of L2`,
    "highest clocks, of the multiprocessors and of the memory": clocks.join(", "),
    "CUDA of the driver and of the backend": `${gpu.driverCuda}, ${gpu.runtimeCuda}`,
    "measured ceilings of the GPU":
      ceilings === null
        ? "none: it is emulated"
        : `${significant(ceilings.readGigabytesPerSecond)} GB/s read, ${significant(ceilings.copyGigabytesPerSecond)} GB/s ` +
          `copied, ${significant(ceilings.fp32GflopsPerSecond)} GFLOP/s fp32, ` +
          `${significant(ceilings.bf16GflopsPerSecond)} GFLOP/s bf16`,
  };
}

function targetTable(verdicts: readonly Verdict[]): string {
  return table(
    ["target", "required", "reached", "met"],
    verdicts.map(({ target, reached, met, missedBy }) => [
      target.title,
      target.atLeast !== undefined
        ? `>= ${figure(target, target.atLeast)}`
        : `<= ${figure(target, target.atMost!)}`,
      reached === null ? "not measured" : figure(target, reached),
      reached === null ? "-" : met ? "yes" : `no, by ${share(missedBy)}`,
    ]),
  );
}

/** What is known about each target that is missed. */
function shortfalls(verdicts: readonly Verdict[]): string[] {
  const missed = verdicts.filter(({ met, reached }) => !met && reached !== null);
  if (missed.length === 0) return [];
  const lines = missed.map(({ target, row, missedBy }) => {
    const where = row === null ? "" : ` (\`${row.id}\`${row.peer === null ? "" : ` against ${row.peer}`})`;
    return `- ${target.title}: missed by ${share(missedBy)}${where}. ${target.shortfall ?? "The cause is not known."}`;
  });
  return [`Missed:\n\n${lines.join("\n")}`];
}

function figure({ figure }: Target, value: number): string {
  if (figure === "ratio") return `${significant(value)}x`;
  return figure === "percentOfPeak" ? `${value.toFixed(0)} %` : `${value.toFixed(0)} s`;
}

function rowTable(rows: readonly Row[]): string {
  const columns = [
    "id",
    "ours",
    "spread",
    "GFLOP/s",
    "GB/s",
    "% of peak",
    "peer",
    "theirs",
    "spread",
    "ratio",
    "note",
  ];
  const counted = rows.find((row) => row.counted !== undefined)?.counted;
  if (counted === undefined) return table(columns, rows.map(rowCells));
  const floors = Object.keys(counted.floors).map((gpu) => `floor ${gpu}`);
  return table(
    [...columns, "FLOP", "bytes", "sectors", "wavefronts", ...floors],
    rows.map((row) => [...rowCells(row), ...(row.counted === undefined ? [] : countedCells(row.counted))]),
  );
}

/** The cells of what a row counts, in the order of the columns. */
function countedCells(counted: Counted): string[] {
  const { flops, bf16Flops, bytes, sectors, idealSectors, wavefronts, idealWavefronts, floors } = counted;
  const taken = (count: number | null, ideal: number | null) =>
    count === null || ideal === null || ideal === 0
      ? ""
      : `${magnitude(count)} (${(count / ideal).toFixed(2)}x ideal)`;
  return [
    magnitude(flops + bf16Flops),
    magnitude(bytes),
    taken(sectors, idealSectors),
    taken(wavefronts, idealWavefronts),
    ...Object.values(floors).map((seconds) => withUnit(seconds, "s")),
  ];
}

/** A count to three digits, e.g. `1.23 G`. */
function magnitude(value: number): string {
  const index = value < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
  return `${significant(value / 1000 ** index)} ${["", "k", "M", "G", "T"][index]}`.trim();
}

/** What a row counts, for a terminal. */
function countedText({ counted }: Row): string {
  if (counted === undefined) return "";
  const [flops, bytes, sectors, wavefronts] = countedCells(counted);
  return [
    `${flops}${flops!.includes(" ") ? "" : " "}FLOP`,
    `${bytes}B`,
    sectors && `sectors ${sectors}`,
    wavefronts && `wavefronts ${wavefronts}`,
    ...Object.entries(counted.floors).map(([gpu, seconds]) => `floor ${withUnit(seconds, "s")} ${gpu}`),
  ]
    .filter((part) => part)
    .join("  ");
}

/** The cells of a row as text, in the order of `rowColumns`. */
function rowCells(row: Row): string[] {
  return [
    row.id,
    withUnit(row.value, row.unit),
    optional(row.spread, share),
    optional(row.gflopsPerSecond, significant),
    optional(row.gigabytesPerSecond, significant),
    optional(row.percentOfPeak, (value) => value.toFixed(0)),
    row.peer ?? "",
    withUnit(row.peerValue, row.unit),
    optional(row.peerSpread, share),
    optional(row.ratio, (value) => value.toFixed(2)),
    row.note ?? "",
  ];
}

/** One line for a terminal while the run goes on. */
export function rowLine(row: Row): string {
  const [id, ours, spread, , bandwidth, peak, peer, theirs, , ratio, note] = rowCells(row);
  const parts = [
    ours && `${ours}${spread && ` +-${spread}`}`,
    row.unit !== "GFLOP/s" && optional(row.gflopsPerSecond, arithmeticRate),
    bandwidth && row.unit !== "GB/s" && `${bandwidth} GB/s`,
    peak && `${peak} % of peak`,
    peer && `${peer} ${theirs || "-"}`,
    ratio && `ratio ${ratio}`,
    countedText(row),
    note,
  ];
  return `${id!.padEnd(48)}  ${parts.filter((part) => part).join("  ")}`;
}

const arithmeticRate = (gflops: number) =>
  gflops < 10_000 ? `${significant(gflops)} GFLOP/s` : `${significant(gflops / 1000)} TFLOP/s`;

function optional(value: number | null, show: (value: number) => string): string {
  return value === null ? "" : show(value);
}

function withUnit(value: number | null, unit: Unit): string {
  if (value === null) return "";
  if (unit === "bytes") return `${significant(value / 2 ** 20)} MiB`;
  if (unit === "s" && value < 1e-3) return `${significant(value * 1e6)} us`;
  if (unit === "s" && value < 1) return `${significant(value * 1000)} ms`;
  return `${significant(value)} ${unit}`;
}

/** Three significant digits, without exponents. */
function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

const share = (value: number) => `${(100 * value).toFixed(0)} %`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

const escapeCell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
