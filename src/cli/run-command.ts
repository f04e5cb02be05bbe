/** `sightline train` and `sightline sft`: the same command over two algorithms. */
import { basename, relative } from "node:path";
import type { Command } from "commander";
import { stringify as stringifyYaml } from "yaml";
import type { CheckpointedPolicy } from "../train/checkpoint-store.js";
import { type AlgorithmName, configSettings, parseConfig, type RunConfig } from "../train/config.js";
import { ConfigError } from "../train/config-error.js";
import { readDemonstrations } from "../train/demonstration-data.js";
import { absentKnownModel, modelFolder, resumedConfig } from "../train/load-policy.js";
import { requireMemory, runUse } from "../train/memory-check.js";
import { presets } from "../train/presets.js";
import { createProgress } from "../train/progress.js";
import { resolveConfig } from "../train/resolve-config.js";
import { freeRunFolder, RunFolder } from "../train/run-folder.js";
import type { Summary } from "../train/summary.js";
import { systemInfo } from "../train/system-info.js";
import { findTask } from "../train/tasks.js";
import { train } from "../train/train.js";
import type { CliContext } from "./context.js";
import { INTERRUPTED_EXIT_CODE, interruptible } from "./interrupt.js";
import { collect } from "./options.js";
import { formatImprovement, formatScores } from "./score-table.js";

interface RunFlags {
  readonly out?: string;
  readonly set: readonly string[];
  readonly resume?: string;
  readonly dryRun?: true;
}

/** Name of the command that runs each algorithm. */
const commands: Readonly<Record<AlgorithmName, string>> = { ppo: "train", sft: "sft" };

/** Adds the command that runs one algorithm. @param finish takes the exit code */
export function addRunCommand(
  program: Command,
  algorithm: AlgorithmName,
  description: string,
  context: CliContext,
  finish: (exitCode: number) => void,
): void {
  const command = program.command(commands[algorithm]);
  command
    .description(description)
    .argument("[config]", "a preset, or a .yaml, .yml or .json file, which may extend one")
    .option("--out <dir>", "run folder, new or empty (default: runs/<config>-seed<seed>)")
    .option("--set <key=value>", "change a setting, e.g. --set seed=2; may be repeated", collect, [])
    .option("--resume <dir>", "continue the run in this folder, with the configuration it began with")
    .option("--dry-run", "check everything, print the complete configuration, and run nothing")
    .addHelpText("after", () => `${presetsHelp(algorithm)}\n${settingsHelp(algorithm)}`)
    .action(async (source: string | undefined, flags: RunFlags) => {
      finish(await runCommand(command, algorithm, source, flags, context));
    });
}

async function runCommand(
  command: Command,
  algorithm: AlgorithmName,
  source: string | undefined,
  flags: RunFlags,
  context: CliContext,
): Promise<number> {
  const { out, set, resume, dryRun } = flags;
  if (resume !== undefined) {
    if (source !== undefined || out !== undefined || set.length > 0 || dryRun) {
      command.error("error: --resume takes everything from the run folder; leave out all other arguments");
    }
    return continueRun(algorithm, resume, context);
  }
  if (source === undefined) return command.error("error: expected a preset or a file, or --resume <dir>");
  const config = resolveConfig(source, set);
  requireAlgorithm(config, algorithm, source);
  const path =
    out ?? freeRunFolder(`runs/${basename(source).replace(/\.(ya?ml|json)$/, "")}-seed${config.seed}`);
  RunFolder.requireFree(path);
  if (dryRun) {
    const { checkpoint } = config.model;
    const isAbsent = absentKnownModel(checkpoint) !== undefined;
    if (!isAbsent) await context.checkModel(config.model);
    if (config.algorithm === "sft" && config.sft.data !== undefined)
      await readDemonstrations(config.sft.data);
    const absent = isAbsent ? `# not there yet: the model's folder, ${modelFolder(checkpoint)}\n` : "";
    context.stdout.write(`# run folder: ${path}\n${absent}${stringifyYaml(config)}`);
    return 0;
  }
  await requireMemory(config, findTask(config.task), runUse(config));
  const policy = await context.loadPolicy(config);
  return play(config, policy, () => RunFolder.create(path, config, systemInfo()), context);
}

async function continueRun(algorithm: AlgorithmName, path: string, context: CliContext): Promise<number> {
  const folder = RunFolder.open(path);
  const config = parseConfig(folder.readConfig(), folder.file("config.yaml"));
  requireAlgorithm(config, algorithm, path);
  const resumed = resumedConfig(config, folder);
  await requireMemory(resumed, findTask(config.task), runUse(config));
  const policy = await context.loadPolicy(resumed);
  return play(config, policy, () => folder, context);
}

async function play(
  config: RunConfig,
  policy: CheckpointedPolicy,
  openFolder: () => RunFolder,
  { stdout, stderr }: CliContext,
): Promise<number> {
  try {
    const folder = openFolder();
    const shown = shortPath(folder.path);
    const progress = createProgress(stdout);
    progress.message(`run folder: ${shown}`);
    const outcome = await interruptible(
      (signal) => train({ config, task: findTask(config.task), policy, folder, progress, signal }),
      () => progress.message("interrupted: finishing with a checkpoint; once more to stop at once"),
    );
    if (outcome.status === "interrupted") {
      const command = `sightline ${commands[config.algorithm]} --resume ${shown}`;
      stderr.write(`interrupted after update ${outcome.update}; to continue: ${command}\n`);
      return INTERRUPTED_EXIT_CODE;
    }
    stdout.write(`${formatSummary(outcome.summary)}\nreport: ${shortPath(folder.file("report.html"))}\n`);
    return 0;
  } finally {
    policy.dispose();
  }
}

/** A path as one would type it here: relative where it lies below the working directory. */
function shortPath(path: string): string {
  const short = relative("", path);
  return short.startsWith("..") ? path : short;
}

function requireAlgorithm(config: RunConfig, algorithm: AlgorithmName, source: string): void {
  if (config.algorithm === algorithm) return;
  const received = `"${config.algorithm}", which is for sightline ${commands[config.algorithm]}`;
  throw new ConfigError(source, [{ path: "algorithm", expected: `"${algorithm}"`, received }]);
}

function formatSummary({ before, after, greedy, improvement, references }: Summary): string {
  const scores = formatScores({
    "random play": references.random,
    "before, sampled": before,
    "before, greedy": greedy.before,
    "after, sampled": after,
    "after, greedy": greedy.after,
    "expert play": references.expert,
    "optimal play": references.optimal,
  });
  return `${scores}\n\n${formatImprovement(improvement)}`;
}

function presetsHelp(algorithm: AlgorithmName): string {
  const names = Object.keys(presets).filter((name) => presets[name]!().algorithm === algorithm);
  return `\nPresets: ${names.join(", ")}`;
}

function settingsHelp(algorithm: AlgorithmName): string {
  const lines = configSettings(algorithm).map(({ path, accepts, description, default: value }) => {
    const fallback = value === undefined ? "" : ` Default: ${JSON.stringify(value)}.`;
    return `  ${path}\n      ${description} Takes ${accepts}.${fallback}`;
  });
  const head = "Settings (--set, or in a file; --dry-run shows what a preset makes of them):";
  return `\n${head}\n${lines.join("\n")}`;
}
