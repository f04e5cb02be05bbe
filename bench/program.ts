/** The command line of the benchmarks: measures suites and writes JSON, or makes the results page from JSON. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Command, Option } from "commander";
import { measurePeaks } from "../src/native/peaks.js";
import type { CpuPath } from "../src/native/types.js";
import { addKernelsCommand } from "./kernels/command.js";
import { busyShare, describeMachine, noiseWarning } from "./machine.js";
import { count, pattern } from "./options.js";
import { findPeers } from "./peer-supply.js";
import { resultsPage, rowLine } from "./report.js";
import { parseResults, type Results, type Row, toJson } from "./results.js";
import type { BenchContext, Suite } from "./suite.js";
import { engine } from "./suites/engine.js";
import { envs } from "./suites/envs.js";
import { ops } from "./suites/ops.js";
import { rollout } from "./suites/rollout.js";
import { trainStep } from "./suites/train-step.js";
import { testingAddon } from "./testing-addon.js";

const suites: Readonly<Record<string, Suite>> = { ops, "train-step": trainStep, engine, rollout, envs };

interface BenchOptions {
  json?: string;
  quick: boolean;
  repeats?: number;
  threads: number;
  cpu: CpuPath;
  only?: RegExp;
  peers: boolean;
}

/** Takes lines of text. */
type Say = (text: string) => void;

/** Measures the suites, printing each row as soon as it is known. */
async function measure(names: readonly string[], options: BenchOptions, say: Say): Promise<void> {
  const { quick, threads, cpu, only } = options;
  const repeats = options.repeats ?? (quick ? 2 : 5);
  const header = await describeMachine(cpu, threads);
  const { fp32GflopsPerSecond, bf16GflopsPerSecond, readGigabytesPerSecond } = await measurePeaks({
    threads,
    cpu,
  });
  const peaks = { fp32GflopsPerSecond, bf16GflopsPerSecond, readGigabytesPerSecond };
  const peers = findPeers(threads, options.peers);
  const folder = await mkdtemp(join(tmpdir(), "sightline-bench-"));
  const context: BenchContext = {
    ...{ threads, cpu, peaks, repeats, quick, peers, folder },
    wants: (id) => only === undefined || only.test(id),
  };
  const rows: Row[] = [];
  const finish = async (): Promise<Results> => ({
    machine: {
      ...header,
      busyAfter: await busyShare(),
      peaks,
      repeats,
      quick,
      peers: Object.values(peers).map((peer) => peer.description),
    },
    rows,
  });
  say(`${header.cpuModel}, path ${cpu}, ${threads} threads, commit ${header.commit ?? "unknown"}`);
  say(
    `peaks: ${peaks.fp32GflopsPerSecond.toFixed(0)} GFLOP/s fp32, ` +
      `${peaks.bf16GflopsPerSecond?.toFixed(0) ?? "no"} GFLOP/s bf16, ${peaks.readGigabytesPerSecond.toFixed(1)} GB/s`,
  );
  for (const { present, description } of Object.values(peers)) if (!present) say(description);
  try {
    for (const name of names) {
      for await (const row of suites[name]!(context)) {
        rows.push(row);
        say(rowLine(row));
      }
      // After every suite, so that a run that is cut short has not been for nothing.
      if (options.json !== undefined) await writeFile(options.json, toJson(await finish()));
    }
    const warning = noiseWarning((await finish()).machine);
    if (warning !== undefined) say(`warning: ${warning}`);
  } finally {
    for (const peer of Object.values(peers)) peer.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function writePage(file: string, out: string | undefined, say: Say): Promise<void> {
  const results = parseResults(await readFile(file, "utf8"), file);
  const page = out ?? file.replace(/(\.json)?$/, ".md");
  await writeFile(page, resultsPage(results, basename(file)));
  say(`wrote ${page}`);
}

/**
 * Runs one command line.
 *
 * @param args without the interpreter and the script
 * @param say takes the output, line by line
 * @throws CommanderError for bad usage (after it has printed its message), Error where a file cannot be read or written
 */
export async function runBench(args: readonly string[], say: Say): Promise<void> {
  const program = new Command("bench")
    .description("Measures the engine beside its peers; see bench/README.md.")
    .exitOverride();
  const paths = testingAddon.availableIsas();
  const strongest = (process.env.SIGHTLINE_CPU as CpuPath | undefined) ?? paths.at(-1)!;
  for (const name of [...Object.keys(suites), "all"]) {
    program
      .command(name)
      .description(name === "all" ? "measure every suite" : `measure the suite ${name}`)
      .option("--json <file>", "also write the rows as JSON")
      .option("--quick", "fewer repeats, and nothing that takes minutes", false)
      .option("--repeats <n>", "timed repeats of each measurement (default: 5, with --quick 2)", count)
      .option("--threads <n>", "threads of the engine and of the peers", count, availableParallelism())
      .addOption(new Option("--cpu <path>", "instruction-set path").choices(paths).default(strongest))
      .option("--only <pattern>", "measure only what has an id that matches", pattern)
      .option("--no-peers", "measure ours alone")
      .action((options: BenchOptions) =>
        measure(name === "all" ? Object.keys(suites) : [name], options, say),
      );
  }
  addKernelsCommand(program, strongest, say);
  program
    .command("report")
    .description("make the results page of a run")
    .argument("<json>", "what --json wrote")
    .option("--out <file>", "the page; default: beside the JSON, with .md")
    .action((file: string, { out }: { out?: string }) => writePage(file, out, say));
  await program.parseAsync(args, { from: "user" });
}
