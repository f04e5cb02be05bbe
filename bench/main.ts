import { CommanderError } from "commander";
import { MissingDeviceError } from "./kernels/gpu.js";
import { runBench } from "./program.js";

/** As those of the command line: 1 the run failed, 2 it was asked for what is not there. */
const exitCodeOf = (error: unknown) => {
  if (error instanceof CommanderError) return error.exitCode;
  return error instanceof MissingDeviceError ? 2 : 1;
};

try {
  await runBench(process.argv.slice(2), (line) => process.stdout.write(`${line}\n`));
} catch (error) {
  // Commander has printed its own message; asking for help is no error.
  if (!(error instanceof CommanderError)) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  }
  process.exitCode = exitCodeOf(error);
}
