import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { parse as parseYaml } from "yaml";
import type { CliContext } from "../../src/cli/context.js";
import { runCli } from "../../src/cli/program.js";
import { CheckpointError } from "../../src/models/checkpoint-error.js";
import { temporaryFolder } from "../train/temporary-folder.js";
import { SolverPolicy } from "./solver-policy.js";

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

interface Ran {
  exitCode: number;
  stdout: string;
  stderr: string;
  /** The models that policies were asked for. */
  models: { checkpoint: string; weights: string }[];
  policies: SolverPolicy[];
}

/** Runs a command line with policies that solve NumberLine more often with every step of their optimizer. */
async function cli(args: string[], prepare: (policy: SolverPolicy) => void = () => {}): Promise<Ran> {
  const ran: Ran = { exitCode: -1, stdout: "", stderr: "", models: [], policies: [] };
  const sink = (name: "stdout" | "stderr") =>
    new Writable({
      write(chunk, _encoding, done) {
        ran[name] += String(chunk);
        done();
      },
    });
  const context: CliContext = {
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    async loadPolicy({ model }) {
      ran.models.push(model);
      if (model.checkpoint === "missing") await context.checkModel(model);
      const policy = new SolverPolicy();
      prepare(policy);
      ran.policies.push(policy);
      return policy;
    },
    async checkModel({ checkpoint }) {
      if (checkpoint === "missing") {
        throw new CheckpointError("FOLDER_MISSING", "missing", "expected a model folder");
      }
    },
  };
  ran.exitCode = await runCli(args, context);
  for (const policy of ran.policies) expect(policy.isDisposed).toBe(true);
  return ran;
}

/** A run small enough for a test. */
const small = [
  "environments=4",
  "ppo.updates=3",
  "ppo.stepsPerEnvironment=8",
  "ppo.minibatchSize=16",
  "stop.minimumEpisodes=1",
  "evaluation.episodes=20",
  "evaluation.transcripts=1",
  "evaluation.selectionEpisodes=10",
].flatMap((setting) => ["--set", setting]);

describe("sightline", () => {
  test("has these commands and flags, and no others", async () => {
    const flags = async (...command: string[]) => {
      const { stdout, exitCode } = await cli([...command, "--help"]);
      expect(exitCode).toBe(0);
      const help = stdout.split("\nSettings")[0]!;
      return [...help.matchAll(/^ {2}(-.*?|\w.*?)(?: {2}|$)/gm)].map((match) => match[1]);
    };
    expect(await flags()).toEqual([
      "-V, --version",
      "-h, --help",
      "train [options] [config]",
      "sft [options] [config]",
      "demos [options] <task>",
      "eval [options] <checkpoint>",
      "ablate [options] <ablation>",
      "inspect [options] <checkpoint>",
      "generate [options] <checkpoint>",
      "merge [options] <base> <adapter>",
      "plan [options] <config>",
      "profile [options] <config>",
      "doctor",
      "help [command]",
    ]);
    const run = ["config", "--out <dir>", "--set <key=value>", "--resume <dir>", "--dry-run", "-h, --help"];
    expect(await flags("train")).toEqual(run);
    expect(await flags("sft")).toEqual(run);
    expect(await flags("demos")).toEqual([
      "task",
      "--out <dir>",
      "--samples <n>",
      "--episodes <n>",
      "--seed <n>",
      "--error-rate <p>",
      "--random-action-rate <p>",
      "--action-only",
      "-h, --help",
    ]);
    expect(await flags("eval")).toEqual([
      "checkpoint",
      "--task <name>",
      "--action-only",
      "--episodes <n>",
      "--seed <n>",
      "--temperature <t>",
      "--max-new-tokens <n>",
      "--device <name>",
      "--threads <n>",
      "--precision <type>",
      "--json",
      "-h, --help",
    ]);
    expect(await flags("ablate")).toEqual([
      "ablation",
      "--out <dir>",
      "--table <file.md>",
      "--seeds <list>",
      "--set <key=value>",
      "--dry-run",
      "-h, --help",
    ]);
    expect(await flags("plan")).toEqual([
      "config",
      "--gpu <name>",
      "--gpus <n>",
      "--prompt-tokens <n>",
      "--response-tokens <n>",
      "--set <key=value>",
      "--json",
      "-h, --help",
    ]);
    expect(await flags("profile")).toEqual([
      "config",
      "--updates <n>",
      "--out <dir>",
      "--set <key=value>",
      "-h, --help",
    ]);
    expect(await flags("doctor")).toEqual(["-h, --help"]);
    expect(await flags("inspect")).toEqual([
      "checkpoint",
      "--image-size <WxH>",
      "--frozen <components>",
      "--lora <components>",
      "--lora-modules <regex>",
      "--rank <r>",
      "--json",
      "-h, --help",
    ]);
    expect(await flags("generate")).toEqual([
      "checkpoint",
      "--prompt <text>",
      "--image <file>",
      "--max-new-tokens <n>",
      "--temperature <t>",
      "--seed <n>",
      "--precision <type>",
      "--device <name>",
      "--threads <n>",
      "--json",
      "-h, --help",
    ]);
    expect(await flags("merge")).toEqual(["base", "adapter", "--out <folder>", "-h, --help"]);
  });

  test("documents every setting and its default in the help of its command", async () => {
    const { stdout } = await cli(["train", "--help"]);
    expect(stdout).toMatch(
      /Presets: number-line, ez-points, blackjack, number-line-llava-1\.6-mistral-7b, ez-points-llava.*, points24-llava.*, blackjack-llava/,
    );
    expect(stdout).toMatch(/ {2}ppo\.clipRange\n {6}.*Takes a number > 0 and < 1\. Default: 0\.1\./);
    expect((await cli(["sft", "--help"])).stdout).toContain(
      "Presets: number-line-sft, number-line-sft-refine, ez-points-sft, blackjack-sft, blackjack-sft-refine\n",
    );
  });

  test.each([
    [["fly"], "unknown command"],
    [["train", "number-line", "--sett", "a=1"], "unknown option"],
    [["train"], "expected a preset or a file, or --resume <dir>"],
    [["train", "number-line", "extra"], "too many arguments"],
    [["train", "number-line", "--resume", "x"], "--resume takes everything from the run folder"],
    [["train", "--resume", "x", "--set", "seed=1"], "--resume takes everything from the run folder"],
    [["plan"], "missing required argument 'config'"],
    [["plan", "number-line", "--gpu", "a100-80"], "did you mean a100-80g?"],
    [["plan", "number-line-sft"], 'algorithm: expected "ppo", received "sft"'],
    [["profile"], "missing required argument 'config'"],
    [["profile", "number-line", "--updates", "0"], "expected an integer >= 1"],
    [["profile", "numberline"], "did you mean number-line?"],
    [["eval"], "missing required argument 'checkpoint'"],
    [["eval", "x", "--episodes", "many"], "expected an integer >= 1"],
    [["eval", "x", "--seed", "4294967296"], "expected an integer >= 0 and <= 4294967295"],
    [["eval", "x", "--temperature", "0"], "expected a number > 0"],
    [["eval", "x", "--task", "numberline"], "did you mean number-line?"],
  ])("answers bad usage with exit code 2 and says what is wrong: %j", async (args, message) => {
    const { exitCode, stderr, policies } = await cli(args);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
    expect(policies).toEqual([]);
  });

  test("lists everything wrong with a configuration, without a stack, and exits with 2", async () => {
    const { exitCode, stderr } = await cli([
      "train",
      "number-line",
      "--set",
      "sed=1",
      "--set",
      "ppo.gamma=2",
    ]);
    expect(exitCode).toBe(2);
    expect(stderr).toBe(
      [
        "error: number-line: the configuration is not valid",
        "  ppo.gamma: expected a number >= 0 and <= 1, received 2",
        "  sed: expected a setting that exists, received 1; did you mean seed?",
        "",
      ].join("\n"),
    );
  });

  test("points to the other command for a configuration of another algorithm", async () => {
    const { exitCode, stderr } = await cli(["train", "number-line-sft"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('expected "ppo", received "sft", which is for sightline sft');
  });
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

describe("sightline demos", () => {
  test("writes as many decisions or episodes as asked", async () => {
    const out = join(folder, "samples");
    const { exitCode, stdout } = await cli(["demos", "number-line", "--samples", "50", "--out", out]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^50 demonstrations of \d+ episodes, \d+ images: .*demonstrations\.jsonl$/m);
    const episodes = await cli([
      "demos",
      "number-line",
      "--episodes",
      "9",
      "--out",
      join(folder, "episodes"),
    ]);
    expect(episodes.stdout).toMatch(/^\d+ demonstrations of 9 episodes/m);
  });

  test.each([
    [["number-line"], "required option '--out <dir>'"],
    [["number-line", "--out", "x"], "expected either --samples <n> or --episodes <n>"],
    [["number-line", "--out", "x", "--samples", "2", "--episodes", "2"], "expected either --samples <n>"],
    [["number-lime", "--out", "x", "--samples", "2"], "did you mean number-line?"],
    [["number-line", "--out", "x", "--samples", "2", "--error-rate", "2"], "expected a number in [0, 1]"],
    [["number-line", "--out", ".", "--samples", "2"], "expected a new or an empty folder"],
  ])("answers bad usage with exit code 2: %j", async (args, message) => {
    const { exitCode, stderr } = await cli(["demos", ...args]);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });
});

describe("sightline eval", () => {
  test("prints the scores of the policy beside random and optimal play", async () => {
    const { exitCode, stdout } = await cli(["eval", "some/checkpoint", "--episodes", "30"]);
    expect(exitCode).toBe(0);
    const names = stdout.split("\n").map((line) => line.split("  ")[0]);
    const players = ["sampled", "greedy", "random", "expert", "optimal", ""];
    expect(names).toEqual([
      "30 episodes of number-line, panel 1",
      "",
      ...players,
      "of decisions",
      ...players,
      "of episodes",
      ...players,
    ]);
    // Random play of two actions is always legal; nothing that it writes can be misread.
    expect(stdout).toMatch(/^random +0\.000 +0\.000 +- +0\.[3-6]\d\d$/m);
    expect(stdout).toMatch(/^of episodes +(wrong move +too slow|too slow +wrong move)$/m);
  });

  test("plays the task's published panel where it is told no other", async () => {
    const { stdout } = await cli(["eval", "some/checkpoint", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ seed: 1, random: { episodes: 300 } });
  });

  test("prints the same as JSON, and the same again", async () => {
    const args = ["eval", "some/checkpoint", "--episodes", "30", "--seed", "4", "--json"];
    const { stdout, models } = await cli(args);
    const frozen = ["vision", "projector", "decoder"];
    expect(models).toEqual([{ checkpoint: "some/checkpoint", weights: "trained", frozen }]);
    expect(JSON.parse(stdout)).toMatchObject({
      checkpoint: "some/checkpoint",
      task: "number-line",
      seed: 4,
      sampled: { episodes: 30, successInterval: [expect.any(Number), expect.any(Number)] },
      greedy: { episodes: 30 },
      random: { episodes: 30 },
      optimal: { successRate: 1 },
    });
    expect((await cli(args)).stdout).toBe(stdout);
  });

  test("asks for the action alone where told to", async () => {
    const { stdout } = await cli(["eval", "some/checkpoint", "--episodes", "5", "--action-only", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ thoughts: false, sampled: { readingAccuracy: null } });
  });

  test("refuses a missing checkpoint with exit code 2", async () => {
    const { exitCode, stderr } = await cli(["eval", "missing"]);
    expect(exitCode).toBe(2);
    expect(stderr).toBe("error: missing: expected a model folder\n");
  });
});

describe("sightline doctor", () => {
  test("shows what there is, and says what is missing and what to do about it", async () => {
    vi.stubEnv("SIGHTLINE_ADDON", join(folder, "absent.node"));
    const { exitCode, stdout } = await cli(["doctor"]);
    vi.unstubAllEnvs();
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^node +v\d+/m);
    expect(stdout).toMatch(/^processor +.*, \d+ cores$/m);
    expect(stdout).toMatch(/^threads +\d+/m);
    expect(stdout).toMatch(
      /^native module +the native module cannot be loaded\n {2}-> looked for: .*absent\.node/m,
    );
    expect(stdout).toMatch(/^[12] to put right$/m);
  });
});
