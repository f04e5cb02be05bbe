/** `sightline train` and `sightline sft`: the same command over two algorithms. */
import { basename, relative } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { stringify as stringifyYaml } from "yaml";
import { type AlgorithmName, configSettings, parseConfig, type RunConfig } from "../train/config.js";
import { ConfigError, describeReceived } from "../train/config-error.js";
import { createProgress } from "../train/progress.js";
import { resolveConfig } from "../train/resolve-config.js";
import { freeRunFolder, RunFolder } from "../train/run-folder.js";
import type { Summary } from "../train/summary.js";
import { tasks } from "../train/tasks.js";
import { train } from "../train/train.js";
import { versions } from "../train/versions.js";
import type { CliContext } from "./context.js";
import { INTERRUPTED_EXIT_CODE, interruptible } from "./interrupt.js";
import { formatScores } from "./score-table.js";

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
  preset: string,
  context: CliContext,
  finish: (exitCode: number) => void,
): void {
  const name = commands[algorithm];
  const command = program
    .command(name)
    .description(description)
    .argument("[config]", `a preset (${preset}) or a .yaml, .yml or .json file, which may extend one`)
    .option("--out <dir>", "run folder, new or empty (default: runs/<config>-seed<seed>)")
    .option("--set <key=value>", "change a setting, e.g. --set seed=2; may be repeated", collect, [])
    .option("--resume <dir>", "continue the run in this folder, with the configuration it began with")
    .option("--dry-run", "check everything, print the complete configuration, and run nothing")
    .addHelpText("after", () => settingsHelp(algorithm, preset))
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
  if (flags.resume !== undefined) {
    if (source !== undefined || flags.out !== undefined || flags.set.length > 0 || flags.dryRun) {
      command.error("error: --resume takes everything from the run folder; leave out all other arguments");
    }
    return resume(algorithm, flags.resume, context);
  }
  if (source === undefined) command.error("error: expected a preset or a file, or --resume <dir>");
  const config = resolveConfig(source!, flags.set);
  requireAlgorithm(config, algorithm, source!);
  const path = flags.out ?? freeRunFolder(`runs/${basename(source!).replace(/\.[^.]*$/, "")}-seed${config.seed}`);
  if (flags.dryRun) return dryRun(config, path, context);
  const policy = await context.loadPolicy(config);
  try {
    const folder = RunFolder.create(path, config, versions());
    return await play(config, folder, policy, context);
  } finally {
    policy.dispose();
  }
}
