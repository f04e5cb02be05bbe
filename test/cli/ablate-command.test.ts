import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { beforeEach, describe, expect, test } from "vitest";
import { runCli } from "../../src/cli/program.js";
import { CheckpointError } from "../../src/models/checkpoint-error.js";
import type { AblationResult } from "../../src/train/ablation-table.js";
import { temporaryFolder } from "../train/temporary-folder.js";
import { SolverPolicy } from "./solver-policy.js";

/** Two arms of runs small enough for a test. */
const file = `
title: Clipping
config: number-line
seeds: [1]
arms:
  - name: little
    set: { ppo.clipRange: 0.1 }
  - name: much
    set: { ppo.clipRange: 0.4 }
`;
const small = [
  "environments=4",
  "ppo.updates=2",
  "ppo.stepsPerEnvironment=8",
  "ppo.minibatchSize=16",
  "evaluation.episodes=20",
  "evaluation.transcripts=0",
  "evaluation.selectionEpisodes=10",
].flatMap((setting) => ["--set", setting]);

let folder: string;
let source: string;
beforeEach(() => {
  folder = temporaryFolder();
  source = join(folder, "clipping.yaml");
  writeFileSync(source, file);
});

/** Runs `sightline ablate`; the n-th policy that is asked for, of those in `missing`, has no model. */
async function ablate(args: readonly string[], missing: readonly number[] = []) {
  const ran = { exitCode: -1, stdout: "", stderr: "", loaded: 0 };
  const sink = (name: "stdout" | "stderr") =>
    new Writable({
      write(chunk, _encoding, done) {
        ran[name] += String(chunk);
        done();
      },
    });
  ran.exitCode = await runCli(["ablate", ...args], {
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    async loadPolicy() {
      if (missing.includes(ran.loaded++))
        throw new CheckpointError("FOLDER_MISSING", "m", "expected a folder");
      return new SolverPolicy();
    },
    async checkModel() {},
  });
  return ran;
}

describe("sightline ablate", () => {
  test("plays the arms, writes the table, and tells a run that was refused", async () => {
    const out = join(folder, "out");
    const table = join(folder, "docs", "clipping.md");
    const args = [source, "--out", out, "--table", table, "--seeds", "3,5", ...small];
    const first = await ablate(args, [1]);
    expect(first.exitCode).toBe(1);
    expect(first.stdout).toContain(`run 1 of 4, little, seed 3: ${join(out, "little", "seed3")}`);
    expect(readFileSync(table, "utf8")).toMatch(/^\| much \| 3 \| - .*\| m: expected a folder \|$/m);

    const second = await ablate(args);
    expect(second).toMatchObject({ exitCode: 0, loaded: 1 });
    const page = readFileSync(table, "utf8");
    expect(page).toMatch(/^\| little \| 2 of 2 \| \d\.\d{3} \(/m);
    expect(page).toMatch(/^\| much \| 2 of 2 \| \d\.\d{3} \(/m);
    expect(page).toContain(`- Command: \`sightline ablate ${source} --seeds 3,5 --set environments=4`);
    const { arms, commits, machines } = JSON.parse(
      readFileSync(table.replace(".md", ".json"), "utf8"),
    ) as AblationResult;
    expect([commits.length, machines.length]).toEqual([1, 1]);
    const summary = JSON.parse(readFileSync(join(out, "much", "seed5", "summary.json"), "utf8"));
    expect(arms[1]!.runs[1]!.summary).toEqual(summary);
  });

  test("prints the runs and makes nothing with --dry-run", async () => {
    const out = join(folder, "out");
    const { exitCode, stdout, loaded } = await ablate([source, "--out", out, "--dry-run"]);
    expect([exitCode, loaded]).toEqual([0, 0]);
    expect(stdout).toBe(`${join(out, "little", "seed1")}\n${join(out, "much", "seed1")}\n`);
    expect(existsSync(out)).toBe(false);
  });

  test.each([
    [[], "missing required argument 'ablation'"],
    [["number-line-lamda"], "did you mean number-line-lambda?"],
    [["number-line-lambda", "--seeds", "1,1"], "expected seeds that differ"],
    [["number-line-lambda", "--seeds", "1,x"], "expected an integer >= 0"],
    [["number-line-lambda", "--table", "x.txt"], "expected a file name that ends in .md"],
    [
      ["number-line-lambda", "--set", "ppo.updates=0"],
      "λ = 0, seed 1: ppo.updates: expected an integer >= 1",
    ],
    [["number-line-lambda", "--set", "ppo.lambda=1"], "λ = 0, seed 1: ppo.lambda: expected to be set once"],
  ])("answers bad usage with exit code 2, and plays nothing: %j", async (args, message) => {
    const { exitCode, stderr, loaded } = await ablate(args);
    expect(stderr).toContain(message);
    expect([exitCode, loaded]).toEqual([2, 0]);
  });
});
