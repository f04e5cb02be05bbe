import { describe, expect, test } from "vitest";
import { cli } from "./command-line.js";

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
