/** `sightline doctor`: what this machine has, and what it lacks. */
import type { Command } from "commander";
import { diagnose } from "../train/diagnose.js";
import type { CliContext } from "./context.js";

/** Adds the command, which exits with 1 where something is missing. @param finish takes the exit code */
export function addDoctorCommand(
  program: Command,
  { stdout }: CliContext,
  finish: (exitCode: number) => void,
): void {
  program
    .command("doctor")
    .description("show what this installation and this machine have, and what is missing")
    .action(async () => {
      const findings = await diagnose();
      const width = Math.max(...findings.map(({ name }) => name.length));
      for (const { name, value, remedy } of findings) {
        stdout.write(`${name.padEnd(width)}  ${value}${remedy === undefined ? "" : `\n  -> ${remedy}`}\n`);
      }
      const problems = findings.filter(({ remedy }) => remedy !== undefined).length;
      stdout.write(problems === 0 ? "nothing is missing\n" : `${problems} to put right\n`);
      finish(problems === 0 ? 0 : 1);
    });
}
