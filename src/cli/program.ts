import { Command, CommanderError } from "commander";
import { packageVersion } from "../train/system-info.js";
import { isUsageError } from "../train/usage-error.js";
import { addAblateCommand } from "./ablate-command.js";
import type { CliContext } from "./context.js";
import { addDemosCommand } from "./demos-command.js";
import { addDoctorCommand } from "./doctor-command.js";
import { addEvalCommand } from "./eval-command.js";
import { addGenerateCommand } from "./generate-command.js";
import { addInspectCommand } from "./inspect-command.js";
import { addMergeCommand } from "./merge-command.js";
import { addPlanCommand } from "./plan-command.js";
import { addProfileCommand } from "./profile-command.js";
import { addRunCommand } from "./run-command.js";

/** What the process exits with. An interrupted run: 130. */
const exitCodes = { ok: 0, failed: 1, badUsage: 2 } as const;

/**
 * Runs one command line.
 *
 * @param args without the interpreter and the script
 * @returns the exit code: 0 ok, 1 the run failed, 2 bad usage or configuration, 130 interrupted
 */
export async function runCli(args: readonly string[], context: CliContext): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const program = createProgram(context, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    // Commander has printed its own message; asking for help or the version is no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.badUsage;
    context.stderr.write(`error: ${describeError(error)}\n`);
    return isUsageError(error) ? exitCodes.badUsage : exitCodes.failed;
  }
}

function createProgram(context: CliContext, finish: (exitCode: number) => void): Command {
  const { stdout, stderr } = context;
  const program = new Command("sightline")
    .description("Fine-tunes vision-language models as decision-making agents with reinforcement learning.")
    .version(packageVersion())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
    });
  addRunCommand(program, "ppo", "train a model with reinforcement learning (PPO)", context, finish);
  addRunCommand(program, "sft", "fine-tune a model on an expert's demonstrations", context, finish);
  addDemosCommand(program, context);
  addEvalCommand(program, context, finish);
  addAblateCommand(program, context, finish);
  addInspectCommand(program, context);
  addGenerateCommand(program, context);
  addMergeCommand(program, context);
  addPlanCommand(program, context, finish);
  addProfileCommand(program, context);
  addDoctorCommand(program, context, finish);
  return program;
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return process.env.DEBUG ? (error.stack ?? error.message) : error.message;
}
