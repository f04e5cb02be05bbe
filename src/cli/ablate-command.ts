/** `sightline ablate`: the same run under several settings and seeds, and a table of what they reach. */
import { type Command, InvalidArgumentError } from "commander";
import { ablate } from "../train/ablate.js";
import { ablationName, ablationNames, planAblation, readAblation } from "../train/ablation.js";
import { gatherResult, writeResult } from "../train/ablation-table.js";
import { createProgress } from "../train/progress.js";
import { findTask } from "../train/tasks.js";
import type { CliContext } from "./context.js";
import { INTERRUPTED_EXIT_CODE, interruptible } from "./interrupt.js";
import { collect, integer } from "./options.js";

interface AblateFlags {
  readonly out?: string;
  readonly table?: string;
  readonly seeds?: readonly number[];
  readonly set: readonly string[];
  readonly dryRun?: true;
}

/** Adds the command. @param finish takes the exit code */
export function addAblateCommand(
  program: Command,
  context: CliContext,
  finish: (exitCode: number) => void,
): void {
  program
    .command("ablate")
    .description("play one configuration under several settings and seeds, and write a table of the results")
    .argument("<ablation>", `${ablationNames.join(", ")}, or a .yaml, .yml or .json file`)
    .option("--out <dir>", "folder of the runs; finished ones stay, others go on (default: runs/<ablation>)")
    .option("--table <file.md>", "where the table goes, its data beside it (default: <out>/results.md)", page)
    .option("--seeds <list>", "seeds of the runs, e.g. 1,2,3 (default: the ablation's)", seedList)
    .option("--set <key=value>", "change a setting in all arms; may be repeated", collect, [])
    .option("--dry-run", "check everything, print the runs, and play nothing")
    .action(async (source: string, flags: AblateFlags) => {
      finish(await runAblation(source, flags, context));
    });
}

async function runAblation(source: string, flags: AblateFlags, context: CliContext): Promise<number> {
  const { stdout, stderr, loadPolicy } = context;
  const ablation = readAblation(source);
  const { out = `runs/${ablationName(source)}`, table = `${out}/results.md`, set } = flags;
  const { seeds = ablation.seeds } = flags;
  const arms = planAblation(ablation, out, seeds, set);
  if (flags.dryRun) {
    const folders = arms.flatMap(({ start, runs }) => [...(start === undefined ? [] : [start]), ...runs]);
    stdout.write(folders.map(({ folder }) => `${folder}\n`).join(""));
    return 0;
  }
  const progress = createProgress(stdout);
  const { isInterrupted, problems } = await interruptible(
    (signal) => ablate({ arms, loadPolicy, findTask, progress, signal }),
    () => progress.message("interrupted: finishing with a checkpoint; once more to stop at once"),
  );
  if (isInterrupted) {
    stderr.write("interrupted; the same command continues\n");
    return INTERRUPTED_EXIT_CODE;
  }
  const { title, about = "" } = ablation;
  const command = [
    `sightline ablate ${source}`,
    ...(flags.seeds === undefined ? [] : [`--seeds ${seeds.join(",")}`]),
    ...set.map((setting) => `--set ${setting}`),
  ].join(" ");
  const date = new Date().toISOString().slice(0, 10);
  await writeResult(table, await gatherResult({ title, about, command, date }, arms, problems));
  stdout.write(`table: ${table}\n`);
  return problems.size === 0 ? 0 : 1;
}

function page(path: string): string {
  if (path.endsWith(".md")) return path;
  throw new InvalidArgumentError("expected a file name that ends in .md");
}

function seedList(text: string): number[] {
  const seeds = text.split(",").map(integer(0, 0xffffffff));
  if (new Set(seeds).size === seeds.length) return seeds;
  throw new InvalidArgumentError("expected seeds that differ");
}
