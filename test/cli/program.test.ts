import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { temporaryFolder } from "../train/temporary-folder.js";
import { cli } from "./command-line.js";

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

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
      /Presets: number-line, ez-points, points24, blackjack, number-line-llava-1\.6-mistral-7b, ez-points-llava.*, points24-llava.*, blackjack-llava/,
    );
    expect(stdout).toMatch(/ {2}ppo\.clipRange\n {6}.*Takes a number > 0 and < 1\. Default: 0\.1\./);
    expect((await cli(["sft", "--help"])).stdout).toContain(
      "Presets: number-line-sft, number-line-sft-refine, ez-points-sft, points24-sft, points24-sft-errors, blackjack-sft, blackjack-sft-refine\n",
    );
  });

  test.each([
    [["fly"], "unknown command"],
    [["train", "number-line", "--sett", "a=1"], "unknown option"],
    [["train"], "expected a preset or a file, or --resume <dir>"],
    [["train", "number-line", "extra"], "too many arguments"],
    [["train", "number-line", "--resume", "x"], "--resume takes everything from the run folder"],
    [["train", "--resume", "x", "--set", "seed=1"], "--resume takes everything from the run folder"],
    [["inspect", "tiny-vlm", "--lora-modules", "q"], "--lora-modules chooses layers of --lora; give both"],
    [["inspect", "tiny-vlm", "--rank", "8"], "--rank is that of the adapters of --lora; give both"],
    [
      ["inspect", "tiny-vlm", "--lora", "decoder,vision", "--frozen", "vision"],
      "--lora: expected components that are not in --frozen, as vision is",
    ],
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
