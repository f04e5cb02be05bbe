/** What a run was measured on, and how quiet that machine was. */
import { spawnSync } from "node:child_process";
import { cpus, loadavg } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { CpuPath } from "../src/native/types.js";
import { packagePath } from "../src/train/package-path.js";
import { systemInfo } from "../src/train/system-info.js";
import type { Machine } from "./results.js";

/** Above this share of busy cores before or after a run, its figures are not to be trusted. */
export const QUIET_LIMIT = 0.05;

/** Share of all cores that others use, 0 to 1, over one second in which this process sleeps. */
export async function busyShare(): Promise<number> {
  const before = cpuTimes();
  await pause(1000);
  const after = cpuTimes();
  const total = after.total - before.total;
  return total === 0 ? 0 : Math.min(1, Math.max(0, 1 - (after.idle - before.idle) / total));
}

function cpuTimes(): { idle: number; total: number } {
  const times = cpus().map((cpu) => cpu.times);
  const idle = times.reduce((sum, time) => sum + time.idle, 0);
  const total = times.reduce(
    (sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq,
    0,
  );
  return { idle, total };
}

/** Everything of the header that is known before the run. */
export async function describeMachine(
  cpuPath: CpuPath,
  threads: number,
): Promise<Omit<Machine, "peaks" | "repeats" | "quick" | "peers">> {
  const { cpu, cores, memoryGb, platform, node } = systemInfo();
  const status = git("status", "--porcelain", "--untracked-files=no");
  return {
    cpuModel: cpu,
    cores,
    memoryGb,
    platform,
    cpuPath,
    threads,
    node,
    commit: git("rev-parse", "HEAD") ?? null,
    dirty: status !== undefined && status !== "",
    date: new Date().toISOString(),
    loadAverage: loadavg()[0]!,
    busyBefore: await busyShare(),
    busyAfter: null,
  };
}

/** What a git command prints about the package's work tree, undefined where that fails. */
function git(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync("git", args, { cwd: packagePath(), encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** A sentence for a machine that is or was not quiet, undefined for one that was. */
export function noiseWarning({ busyBefore, busyAfter }: Machine): string | undefined {
  const busiest = Math.max(busyBefore, busyAfter ?? 0);
  if (busiest <= QUIET_LIMIT) return undefined;
  return (
    `other work kept ${(100 * busiest).toFixed(0)} % of the cores busy (before ${(100 * busyBefore).toFixed(0)} %, ` +
    `after ${busyAfter === null ? "not known" : `${(100 * busyAfter).toFixed(0)} %`}): the figures are not to be relied on`
  );
}
