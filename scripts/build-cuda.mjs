// Compiles the CUDA backend beside the native module, which opens it when it is there. Needs nvcc of CUDA 12 or newer (PATH
// or CUDA_HOME), no GPU. It is a step of its own: compiling every kernel for every architecture takes minutes.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");

function run(command, ...args) {
  const env = { ...process.env, SIGHTLINE_CUDA: "ON" };
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", env });
  if (error) process.stderr.write(`${command}: ${error.message}\n`);
  if (status !== 0) process.exit(status ?? 1);
}

// Configured by cmake-js, as by the install script, so that the two never compile with different options.
const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
run(process.execPath, cmakeJs, "configure", "--CDSIGHTLINE_CUDA=ON");
const jobs = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(os.availableParallelism());
run("cmake", "--build", "build", "--parallel", jobs, "--target", "sightline_cuda");
const [, type] = /^CMAKE_BUILD_TYPE:\w+=(.*)$/m.exec(
  readFileSync(path.join(root, "build/CMakeCache.txt"), "utf8"),
);
process.stdout.write(`sightline: the CUDA backend is build/${type}/libsightline_cuda.so\n`);
