import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { temporaryFolder } from "../train/temporary-folder.js";
import { cli, small } from "./command-line.js";

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

describe("sightline train", () => {
  test("runs to the end, reports before and after, and leaves a whole run folder", async () => {
    const out = join(folder, "run");
    const { exitCode, stdout, models } = await cli(["train", "number-line", "--out", out, ...small]);
    expect(exitCode).toBe(0);
    expect(models).toEqual([{ checkpoint: "tiny-vlm", weights: "trained", frozen: ["vision"] }]);
    expect(stdout).toMatch(/^update 1\/3 {2}success \d\.\d{3} {2}accuracy/m);
    expect(stdout).toMatch(/^before, sampled +\d\.\d{3} +\d\.\d{3} to \d\.\d{3}/m);
    expect(stdout).toMatch(/^expert play +1\.000/m);
    expect(stdout).toMatch(/^optimal play +1\.000/m);
    expect(stdout).toMatch(/^sampled +[+-]?\d\.\d{3} .*(better|no clear change)/m);
    for (const name of [
      "config.yaml",
      "versions.json",
      "metrics.jsonl",
      "timing.jsonl",
      "log.jsonl",
      "checkpoints/last/state.json",
      "checkpoints/best/model.json",
      "episodes/before/episode-000/step-00.png",
      "summary.json",
      "report.html",
    ]) {
      expect(existsSync(join(out, name)), name).toBe(true);
    }
    expect(JSON.parse(readFileSync(join(out, "summary.json"), "utf8"))).toMatchObject({
      before: { successRate: expect.any(Number), actionAccuracy: expect.any(Number) },
      after: { successRate: expect.any(Number), actionAccuracy: expect.any(Number) },
      random: expect.any(Number),
      optimal: 1,
      seed: 1,
      updates: 3,
      environmentSteps: 96,
      wallSeconds: expect.any(Number),
    });
  });

  test("takes the configuration of a run folder as it is", async () => {
    const out = join(folder, "first");
    await cli(["train", "number-line", "--out", out, ...small]);
    const again = join(folder, "second");
    const { exitCode } = await cli(["train", join(out, "config.yaml"), "--out", again]);
    expect(exitCode).toBe(0);
    const metrics = (run: string) => readFileSync(join(run, "metrics.jsonl"), "utf8");
    expect(metrics(again)).toBe(metrics(out));
  });

  test("prints the complete configuration and makes nothing with --dry-run", async () => {
    const out = join(folder, "run");
    const { exitCode, stdout, policies } = await cli([
      "train",
      "number-line",
      "--out",
      out,
      "--set",
      "seed=9",
      "--dry-run",
    ]);
    expect(exitCode).toBe(0);
    expect(policies).toEqual([]);
    expect(existsSync(out)).toBe(false);
    expect(parseYaml(stdout)).toMatchObject({ seed: 9, ppo: { epochs: 4 } });
  });

  test("checks a run of a published model with --dry-run before the model is there", async () => {
    const preset = "number-line-llava-1.6-mistral-7b";
    const { exitCode, stdout } = await cli(["train", preset, "--out", join(folder, "run"), "--dry-run"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^# not there yet: the model's folder, .*llava-v1\.6-mistral-7b$/m);
    expect(parseYaml(stdout)).toMatchObject({ mode: "paper", device: "cuda", quirks: { paperReset: true } });
    const refused = await cli(["train", preset, "--dry-run", "--set", "quirks.stalePrompt=true"]);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain(
      'quirks.stalePrompt: expected false, since it has no effect on task "number-line"',
    );
  });

  test.each([[], ["--dry-run"]])("refuses a run folder in use before anything runs %j", async (...flags) => {
    writeFileSync(join(folder, "notes.txt"), "mine");
    const { exitCode, stderr } = await cli(["train", "number-line", "--out", folder, ...flags]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("found one that holds files");
    expect(stderr).toContain("--resume");
  });

  test("refuses a run folder that cannot be written", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    const { exitCode, stderr } = await cli(["train", "number-line", "--out", join(file, "run")]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("cannot be written");
  });

  test.each([[], ["--dry-run"]])("refuses a missing checkpoint and makes no folder %j", async (...flags) => {
    const out = join(folder, "run");
    const args = ["train", "number-line", "--out", out, "--set", "model.checkpoint=missing", ...flags];
    const { exitCode, stderr } = await cli(args);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("missing: expected a model folder");
    expect(existsSync(out)).toBe(false);
  });

  test("exits with 1 and one message when the run fails", async () => {
    const args = ["train", "number-line", "--out", join(folder, "run"), ...small];
    const { exitCode, stderr } = await cli(args, (policy) => {
      policy.step = async () => {
        throw new Error("the optimizer is on strike");
      };
    });
    expect(exitCode).toBe(1);
    expect(stderr).toBe("error: the optimizer is on strike\n");
  });

  test.each(["SIGINT", "SIGTERM"] as const)(
    "ends on %s with a checkpoint, 130, and the way to go on",
    async (signal) => {
      const out = join(folder, "run");
      let steps = 0;
      const interrupted = await cli(["train", "number-line", "--out", out, ...small], (policy) => {
        const step = policy.step.bind(policy);
        policy.step = async (settings) => {
          if (++steps === 3) process.emit(signal);
          return step(settings);
        };
      });
      expect(interrupted.exitCode).toBe(130);
      expect(interrupted.stderr).toMatch(
        /^interrupted after update 1; to continue: sightline train --resume .*run\n$/,
      );
      expect(process.listenerCount(signal)).toBe(0);

      const resumed = await cli(["train", "--resume", out]);
      expect(resumed.exitCode).toBe(0);
      expect(resumed.models).toEqual([
        { checkpoint: join(out, "checkpoints", "last"), weights: "trained", frozen: ["vision"] },
      ]);
      const whole = join(folder, "whole");
      await cli(["train", "number-line", "--out", whole, ...small]);
      const metrics = (run: string) => readFileSync(join(run, "metrics.jsonl"), "utf8");
      expect(metrics(out)).toBe(metrics(whole));

      const finished = await cli(["train", "--resume", out]);
      expect(finished.exitCode).toBe(2);
      expect(finished.stderr).toContain("its run is finished");
    },
  );

  test("starts over where a run was killed before its first checkpoint", async () => {
    const out = join(folder, "run");
    await cli(["train", "number-line", "--out", out, ...small], (policy) => {
      policy.saveCheckpoint = async () => {
        throw new Error("killed");
      };
    });
    const { exitCode, models } = await cli(["train", "--resume", out]);
    expect(exitCode).toBe(0);
    expect(models).toEqual([{ checkpoint: "tiny-vlm", weights: "trained", frozen: ["vision"] }]);
  });

  test("refuses to resume what is no run folder", async () => {
    mkdirSync(join(folder, "empty"));
    const { exitCode, stderr } = await cli(["train", "--resume", join(folder, "empty")]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("found no config.yaml in it");
  });
});

describe("sightline sft", () => {
  test("imitates the expert", async () => {
    const out = join(folder, "run");
    const settings = ["sft.steps=4", "sft.batchSize=2", "evaluation.episodes=10", "evaluation.transcripts=1"];
    const args = [
      "sft",
      "number-line-sft",
      "--out",
      out,
      ...settings.flatMap((setting) => ["--set", setting]),
    ];
    const { exitCode, stdout, models } = await cli(args);
    expect(exitCode).toBe(0);
    expect(models).toEqual([{ checkpoint: "tiny-vlm", weights: "fresh", frozen: [] }]);
    expect(stdout).toMatch(/^update 4\/4 {2}loss \d/m);
  });

  test("learns from a data set that sightline demos wrote, and checks it in a dry run", async () => {
    const data = join(folder, "data");
    await cli(["demos", "number-line", "--samples", "20", "--out", data]);
    const records = join(data, "demonstrations.jsonl");
    const settings = ["sft.steps=4", "sft.batchSize=8", "sft.errorRate=0", `sft.data=${records}`];
    const small = [...settings, "evaluation.episodes=10"].flatMap((setting) => ["--set", setting]);
    const train = (name: string) => cli(["sft", "number-line-sft", "--out", join(folder, name), ...small]);
    expect((await train("one")).stdout).toMatch(/^update 4\/4 {2}loss \d/m);
    await train("two");
    const metrics = (name: string) => readFileSync(join(folder, name, "metrics.jsonl"), "utf8");
    expect(metrics("two")).toBe(metrics("one"));

    writeFileSync(records, "{}\n", { flag: "a" });
    const { exitCode, stderr } = await cli(["sft", "number-line-sft", "--dry-run", ...small]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`${records} line 21: image: expected`);
  });
});
