import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { packagePath } from "./package-path.js";

/** Software and hardware that a run depends on. */
export interface SystemInfo {
  /** Version of this package. */
  readonly sightline: string;
  /** Revision of the work tree that this package is run from, `-dirty` where files differ from it; null for an installed one. */
  readonly commit: string | null;
  readonly node: string;
  /** Operating system, its release and the processor's architecture. */
  readonly platform: string;
  readonly cpu: string;
  /** Cores that this process may use. */
  readonly cores: number;
  readonly memoryGb: number;
}

/** What this process runs on. */
export function systemInfo(): SystemInfo {
  return {
    sightline: packageVersion(),
    commit: workTreeCommit(),
    node: process.version,
    platform: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGb: Number((totalmem() / 2 ** 30).toFixed(1)),
  };
}

/** Version of this package. */
export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(packagePath("package.json"), "utf8")) as { version: string };
  return version;
}

/** The work tree must be the package's own: an installed package may lie in somebody else's. */
function workTreeCommit(): string | null {
  if (!existsSync(packagePath(".git"))) return null;
  const options = { cwd: packagePath(), encoding: "utf8" } as const;
  const { status, stdout } = spawnSync(
    "git",
    ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
    options,
  );
  return status === 0 ? stdout.trim() : null;
}
