import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { runCli } from "../../src/cli/program.js";
import { checkModel } from "../../src/train/load-policy.js";
import type { ProfileReport } from "../../src/train/profile-report.js";
import type { Trace } from "../../src/train/trace.js";
import { temporaryFolder } from "../train/temporary-folder.js";

/** Runs `sightline profile`, which takes the real engine. */
async function profile(...args: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const ran = { exitCode: -1, stdout: "", stderr: "" };
  const sink = (name: "stdout" | "stderr") =>
    new Writable({
      write(chunk, _encoding, done) {
        ran[name] += String(chunk);
        done();
      },
    });
  ran.exitCode = await runCli(["profile", ...args], {
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    loadPolicy: () => Promise.reject(new Error("this command loads the policy itself, to profile it")),
    checkModel,
  });
  return ran;
}

const set = (...settings: string[]): string[] => settings.flatMap((setting) => ["--set", setting]);
const smallPpo = set(
  "threads=2",
  "environments=2",
  "ppo.stepsPerEnvironment=2",
  "ppo.minibatchSize=2",
  "ppo.epochs=1",
  "ppo.maxNewTokens=8",
);

describe("sightline profile", () => {
  test("prints tables whose parts make up the whole, and writes them and a trace", async () => {
    const out = join(temporaryFolder(), "new", "profile");
    const { exitCode, stdout, stderr } = await profile("number-line", "--out", out, ...smallPpo);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });

    const report = JSON.parse(readFileSync(join(out, "profile.json"), "utf8")) as ProfileReport;
    const opMilliseconds = report.ops.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    expect(opMilliseconds + report.outsideOpsMilliseconds + report.idleMilliseconds).toBeCloseTo(
      report.milliseconds,
      6,
    );
    expect(report.outsideOpsMilliseconds).toBeGreaterThan(0);
    expect(report.idleMilliseconds).toBeGreaterThan(0);
    const busy = report.calls.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    expect(busy + report.idleMilliseconds).toBeCloseTo(report.milliseconds, 6);
    const shapes = report.shapes.reduce((sum, { calls }) => sum + calls, 0);
    expect(shapes).toBe(report.ops.reduce((sum, { calls }) => sum + calls, 0));
    expect(report).toMatchObject({
      updates: 1,
      config: { task: "number-line", environments: 2 },
      system: { node: process.version },
      peaks: { fp32GflopsPerSecond: expect.any(Number) },
    });
    // The warm-up is not in it: 2 environments, 2 steps, minibatches of 2.
    const calls = Object.fromEntries(report.calls.map(({ call, calls }) => [call, calls]));
    expect(calls).toMatchObject({ forward: 2, backward: 2, step: 2 });

    const [ops, engineCalls, costliest, roof] = stdout.split("\n\n");
    const cells = (table: string) => table.split("\n").map((line) => line.split(/ {2,}/));
    expect(cells(ops!).map(([name]) => name)).toEqual([
      "op",
      ...report.ops.map(({ op }) => op),
      "outside ops",
      "idle",
      "total",
    ]);
    const printed = cells(ops!).slice(1, -1);
    expect(printed.reduce((sum, [, , ms]) => sum + Number(ms), 0)).toBeCloseTo(report.milliseconds, -1);
    expect(new Set(ops!.split("\n").map((line) => line.length)).size).toBe(1);
    expect(cells(engineCalls!).map(([name]) => name)).toEqual([
      "engine call",
      ...report.calls.map(({ call }) => call),
    ]);
    expect(costliest).toMatch(/^costliest shapes .*\n\w+ \d+( x \d+)* /);
    expect(roof).toMatch(/^roof of 2 threads on \w+: \d+ GFLOP\/s in fp32.*; \d+\.\d GB\/s from memory$/m);

    const trace = JSON.parse(readFileSync(join(out, "trace.json"), "utf8")) as Trace;
    const events = report.calls.reduce((sum, { calls }) => sum + calls, shapes);
    expect(trace.traceEvents.filter(({ ph }) => ph === "X")).toHaveLength(events);
  });

  test("profiles steps of supervised fine-tuning, as many as asked for", async () => {
    const out = temporaryFolder();
    const settings = set("threads=2", "sft.batchSize=2");
    const { exitCode } = await profile("number-line-sft", "--updates", "2", "--out", out, ...settings);
    expect(exitCode).toBe(0);
    const report = JSON.parse(readFileSync(join(out, "profile.json"), "utf8")) as ProfileReport;
    expect(report.calls.map(({ call, calls }) => [call, calls])).toEqual([
      ["forward", 2],
      ["backward", 2],
      ["step", 2],
    ]);
  });

  test("refuses a model that is not there, and a folder that cannot be made, before it runs", async () => {
    const folder = temporaryFolder();
    const out = join(folder, "profile");
    const missing = set("model.checkpoint=missing");
    const noModel = await profile("number-line", "--out", out, ...missing);
    expect(noModel.exitCode).toBe(2);
    expect(noModel.stderr).toMatch(/^error: .*missing/);
    expect(existsSync(out)).toBe(false);

    const file = join(folder, "file");
    writeFileSync(file, "");
    const noFolder = await profile("number-line", "--out", join(file, "profile"), ...smallPpo);
    expect(noFolder.exitCode).toBe(2);
    expect(noFolder.stderr).toMatch(/cannot be written .*; choose another one with --out/);
  });
});
