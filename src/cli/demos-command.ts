/** `sightline demos`: an expert's demonstrations as a data set. */
import type { Command } from "commander";
import { findTask, taskNames } from "../train/tasks.js";
import { RECORDS_FILE, writeDemonstrations } from "../train/write-demonstrations.js";
import type { CliContext } from "./context.js";
import { integer, rate } from "./options.js";

interface DemosFlags {
  readonly samples?: number;
  readonly episodes?: number;
  readonly out: string;
  readonly seed: number;
  readonly errorRate: number;
  readonly randomActionRate: number;
  readonly actionOnly?: true;
}

/** Adds the command. */
export function addDemosCommand(program: Command, { stdout }: CliContext): void {
  const command = program.command("demos");
  command
    .description("write an expert's demonstrations as a data set, in the conversation format of LLaVA")
    .argument("<task>", `environment: ${taskNames.join(", ")}`)
    .requiredOption("--out <dir>", "folder of the data set, new or empty")
    .option("--samples <n>", "decisions to write", integer(1))
    .option("--episodes <n>", "whole episodes to write, instead of --samples", integer(1))
    .option("--seed <n>", "fixes every byte of the data set", integer(0, 0xffffffff), 1)
    .option(
      "--error-rate <p>",
      "share of demonstrations with a wrong decision, thought and action alike",
      rate,
      0,
    )
    .option(
      "--random-action-rate <p>",
      "share of uniformly random actions among those played; the others are the expert's right ones",
      rate,
      0,
    )
    .option("--action-only", "prompts and responses without chain of thought")
    .action(async (name: string, flags: DemosFlags) => {
      const { samples, episodes, out, seed, errorRate, randomActionRate, actionOnly } = flags;
      if ((samples === undefined) === (episodes === undefined)) {
        command.error("error: expected either --samples <n> or --episodes <n>");
      }
      const written = await writeDemonstrations({
        task: findTask(name),
        folder: out,
        amount: samples === undefined ? { episodes: episodes! } : { samples },
        seed,
        errorRate,
        randomActionRate,
        thoughts: actionOnly !== true,
      });
      stdout.write(
        `${written.records} demonstrations of ${written.episodes} episodes, ${written.images} images: ${out}/${RECORDS_FILE}\n`,
      );
    });
}
