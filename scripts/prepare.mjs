// The package's "prepare" script: compiles the TypeScript, where the compiler is installed.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");

/** The compiler's command-line program; nothing under `npm ci --omit=dev`. */
function findCompiler() {
  try {
    return createRequire(import.meta.url).resolve("typescript/bin/tsc");
  } catch (error) {
    if (error.code === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

const compiler = findCompiler();
if (!compiler) {
  process.stdout.write("sightline: typescript is not installed, so dist/ stays as it is\n");
} else {
  const { status } = spawnSync(process.execPath, [compiler, "-p", path.join(root, "tsconfig.json")], {
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
  // npm marks a package's programs executable when it installs the package, not when it links a working copy.
  const program = path.join(root, "dist", "src", "cli", "main.js");
  if (existsSync(program)) chmodSync(program, 0o755);
}
