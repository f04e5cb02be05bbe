// Runs the native tests, or those named on the command line, under AddressSanitizer and UndefinedBehaviorSanitizer,
// with a build tree of its own. Needs GCC on Linux: a sanitized module in an ordinary node must find its run-time
// library loaded before anything else, and only GCC ships it as a shared library by default.
import { spawnSync } from "node:child_process";
import os from "node:os";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");
const tree = path.join(root, "build-asan");
const compiler = process.env.CXX ?? "g++";

function run(command, args, env = process.env) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", env });
  if (error) process.stderr.write(`${command}: ${error.message}\n`);
  if (status !== 0) process.exit(status ?? 1);
}

function library(name) {
  const { stdout = "" } = spawnSync(compiler, [`-print-file-name=${name}`], { encoding: "utf8" });
  const file = stdout.trim();
  if (path.isAbsolute(file)) return file;
  process.stderr.write(`${compiler} has no ${name}; set CXX to a GCC on Linux\n`);
  process.exit(1);
}

// libstdc++ beside libasan: node brings a C++ library of its own, and libasan would look there for the function that
// throws exceptions, which it wraps, before the module's library is loaded.
const preload = [library("libasan.so"), library("libstdc++.so")].join(" ");

run("cmake", [
  "-S",
  ".",
  "-B",
  tree,
  "-DCMAKE_BUILD_TYPE=Release",
  `-DCMAKE_CXX_COMPILER=${compiler}`,
  "-DSIGHTLINE_SANITIZE=address,undefined",
]);
run("cmake", [
  "--build",
  tree,
  "--parallel",
  String(os.availableParallelism()),
  "--target",
  "sightline",
  "sightline_testing",
]);

const tests =
  process.argv.length > 2 ? process.argv.slice(2) : ["test/ops", "test/io", "test/engine", "test/native"];
run(process.execPath, [path.join(root, "node_modules", "vitest", "vitest.mjs"), "run", ...tests], {
  ...process.env,
  LD_PRELOAD: preload,
  // Node itself frees little at exit, so leaks are not told apart from what it keeps.
  ASAN_OPTIONS: "detect_leaks=0",
  UBSAN_OPTIONS: "print_stacktrace=1",
  SIGHTLINE_ADDON: path.join(tree, "Release", "sightline.node"),
  SIGHTLINE_TESTING_ADDON: path.join(tree, "testing", "sightline_testing.node"),
});
