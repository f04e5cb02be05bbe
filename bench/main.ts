import { CommanderError } from "commander";
import { runBench } from "./program.js";

try {
  await runBench(process.argv.slice(2), (line) => process.stdout.write(`${line}\n`));
} catch (error) {
  // Commander has printed its own message; asking for help is no error.
  if (!(error instanceof CommanderError)) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  }
  process.exitCode = error instanceof CommanderError ? error.exitCode : 1;
}
