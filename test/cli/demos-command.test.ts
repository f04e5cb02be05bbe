import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { temporaryFolder } from "../train/temporary-folder.js";
import { cli } from "./command-line.js";

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
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
