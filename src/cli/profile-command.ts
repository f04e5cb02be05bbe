/** `sightline profile`: where the engine's time goes during updates of a configuration. */
import { basename, join } from "node:path";
import type { Command } from "commander";
import { reportProfile } from "../train/profile-report.js";
import { profileRun } from "../train/profile-run.js";
import { resolveConfig } from "../train/resolve-config.js";
import { freeRunFolder, makeFolder } from "../train/run-folder.js";
import { systemInfo } from "../train/system-info.js";
import { toTrace } from "../train/trace.js";
import { writeWhole } from "../train/write-whole.js";
import type { CliContext } from "./context.js";
import { collect, integer } from "./options.js";
import { formatProfile } from "./profile-table.js";

interface ProfileFlags {
  readonly out?: string;
  readonly set: readonly string[];
  readonly updates: number;
}

/** Adds the command. */
export function addProfileCommand(program: Command, context: CliContext): void {
  program
    .command("profile")
    .description(
      "show how long each op of the engine takes in an update, and how far it is from the machine's limits",
    )
    .argument("<config>", "a preset, or a .yaml, .yml or .json file, which may extend one")
    .option("--updates <n>", "updates to profile, after one to warm up", integer(1), 1)
    .option("--out <dir>", "folder for profile.json and trace.json (default: runs/<config>-profile)")
    .option("--set <key=value>", "change a setting, e.g. --set threads=1; may be repeated", collect, [])
    .addHelpText("after", "\ntrace.json opens in ui.perfetto.dev and chrome://tracing.")
    .action(async (source: string, flags: ProfileFlags) => {
      await profile(source, flags, context);
    });
}

async function profile(
  source: string,
  { out, set, updates }: ProfileFlags,
  { stdout, checkModel }: CliContext,
): Promise<void> {
  const config = resolveConfig(source, set);
  const folder = out ?? freeRunFolder(`runs/${basename(source).replace(/\.[^.]*$/, "")}-profile`);
  await checkModel(config.model);
  makeFolder(folder);
  const run = await profileRun(config, updates);
  const report = reportProfile(run.profile, run.peaks);
  const described = { config, updates, system: systemInfo(), ...report };
  await writeWhole(join(folder, "profile.json"), `${JSON.stringify(described, undefined, 2)}\n`);
  await writeWhole(join(folder, "trace.json"), JSON.stringify(toTrace(run.profile)));
  stdout.write(
    `${formatProfile(report)}\n\nwritten: ${join(folder, "profile.json")}, ${join(folder, "trace.json")}\n`,
  );
}
