// Brings the native module and the test-only one beside it up to date. Says nothing unless that fails.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");

function run(command, ...args) {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (status === 0) return;
  process.stderr.write(error ? `${command}: ${error.message}\n` : stdout + stderr);
  process.exit(status ?? 1);
}

// Configured by cmake-js, as by the install script, so that the two never compile with different options.
if (!existsSync(path.join(root, "build", "CMakeCache.txt"))) {
  run(process.execPath, createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js"), "configure");
}
const jobs = String(os.availableParallelism());
run("cmake", "--build", "build", "--parallel", jobs, "--target", "sightline", "sightline_testing");
