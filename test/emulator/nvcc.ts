import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

/** Why the kernels cannot be compiled here, or undefined if they can. */
export const nvccMissing = spawnSync("nvcc", ["--version"]).status === 0 ? undefined : "no nvcc in PATH";

/** For titles of tests that need nvcc. */
export const skipReason = nvccMissing ? ` (skipped: ${nvccMissing})` : "";

/**
 * Compiles `kernels/<name>.cu` to PTX for sm_80 as the backend is compiled.
 *
 * @param macros planted bugs
 */
export function compile(name: string, macros: string[] = []): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "sightline-ptx-"));
  try {
    const file = path.join(folder, `${name}.ptx`);
    const source = path.join(import.meta.dirname, "kernels", `${name}.cu`);
    const flags = ["-ptx", "-O3", "-std=c++20", "-lineinfo", "-arch=compute_80"];
    execFileSync("nvcc", [...flags, ...macros.map((macro) => `-D${macro}`), "-o", file, source], {
      stdio: "pipe",
    });
    return readFileSync(file, "utf8");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
