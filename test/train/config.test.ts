import { describe, expect, test } from "vitest";
import { configSettings, parseConfig } from "../../src/train/config.js";
import { ConfigError, nearestName } from "../../src/train/config-error.js";
import { presets } from "../../src/train/presets.js";

const complete = { algorithm: "ppo", task: "number-line", model: { checkpoint: "tiny-vlm" } };

function issuesOf(input: unknown) {
  try {
    parseConfig(input);
  } catch (error) {
    if (error instanceof ConfigError) return error.issues;
    throw error;
  }
  throw new Error("expected a ConfigError");
}

describe("parseConfig", () => {
  test("fills in every default", () => {
    expect(parseConfig(complete)).toMatchObject({
      seed: 1,
      environments: 32,
      ppo: { epochs: 4, clipRange: 0.1, gamma: 0.9, lambda: 0.5, adamBetas: [0.9, 0.999] },
      stop: { successRate: 0.98, patience: 2 },
      evaluation: { episodes: 300 },
    });
  });

  test("lists every issue with its path, what was expected and what was received", () => {
    const issues = issuesOf({
      ...complete,
      seed: -1,
      model: {},
      ppo: { clipRange: "wide", epochs: 1.5, adamBetas: [0.9], clipRagne: 0.2 },
      stop: 3,
      temprature: 1,
    });
    const byPath = Object.fromEntries(issues.map((issue) => [issue.path, issue]));
    expect(Object.keys(byPath).sort()).toEqual([
      "model.checkpoint",
      "ppo.adamBetas",
      "ppo.clipRagne",
      "ppo.clipRange",
      "ppo.epochs",
      "seed",
      "stop",
      "temprature",
    ]);
    expect(byPath.seed).toMatchObject({ expected: "an integer >= 0 and <= 4294967295", received: "-1" });
    expect(byPath["model.checkpoint"]).toMatchObject({ received: "nothing" });
    expect(byPath["ppo.clipRange"]).toMatchObject({
      expected: "a number > 0 and < 1",
      received: '"wide" (a string)',
    });
    expect(byPath["ppo.epochs"]).toMatchObject({ expected: "an integer >= 1", received: "1.5" });
    expect(byPath["ppo.adamBetas"]).toMatchObject({ expected: "a list of 2 numbers", received: "[0.9]" });
    expect(byPath.stop).toMatchObject({ expected: "a group of settings", received: "3" });
    expect(byPath["ppo.clipRagne"]).toMatchObject({ nearest: "ppo.clipRange", received: "0.2" });
  });

  test("says all of it in one message", () => {
    const error = new ConfigError("my.yaml", issuesOf({ ...complete, ppo: { clipRagne: 0.2, epochs: 0 } }));
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).toBe(
      [
        "my.yaml: the configuration is not valid",
        "  ppo.epochs: expected an integer >= 1, received 0",
        "  ppo.clipRagne: expected a setting that exists, received 0.2; did you mean ppo.clipRange?",
      ].join("\n"),
    );
  });

  test.each([
    [{ environments: 2, ppo: { stepsPerEnvironment: 4, minibatchSize: 9 } }, "ppo.minibatchSize"],
    [{ ppo: { minibatchSize: 32, microbatchSize: 33 } }, "ppo.microbatchSize"],
    [{ ppo: { clipRange: 0.3, dualClip: 1.3 } }, "ppo.dualClip"],
    [{ evaluation: { episodes: 3, transcripts: 4 } }, "evaluation.transcripts"],
  ])("refuses settings that contradict each other or have no effect: %j", (changes, path) => {
    expect(issuesOf({ ...complete, ...changes }).map((issue) => issue.path)).toEqual([path]);
  });

  test("refuses settings of another algorithm", () => {
    expect(issuesOf({ ...complete, algorithm: "sft", ppo: {} }).map(({ path }) => path)).toEqual(["ppo"]);
  });

  test("refuses what says how an expert demonstrates where the demonstrations come from a file", () => {
    const input = {
      ...complete,
      algorithm: "sft",
      sft: { data: "x.jsonl", errorRate: 0.1, randomActionRate: 0 },
    };
    expect(issuesOf(input)).toMatchObject([
      { path: "sft.errorRate", expected: "0, since sft.data says what is demonstrated", received: "0.1" },
      {
        path: "sft.randomActionRate",
        expected: "1, since sft.data says what is demonstrated",
        received: "0",
      },
    ]);
    expect(parseConfig({ ...input, sft: { data: "x.jsonl" } })).toMatchObject({ sft: { data: "x.jsonl" } });
  });

  test.each([undefined, null, 3, {}, { algorithm: "grpo" }])("asks for the algorithm first: %j", (input) => {
    expect(issuesOf(input)).toMatchObject([{ path: "algorithm", expected: 'one of "ppo", "sft"' }]);
  });
});

describe("presets", () => {
  test.each(Object.keys(presets))("%s is complete: parsing it again changes nothing", (name) => {
    const config = parseConfig(presets[name]!());
    expect(parseConfig(config)).toEqual(config);
    expect(parseConfig(JSON.parse(JSON.stringify(config)))).toEqual(config);
  });
});

describe("configSettings", () => {
  test.each(["ppo", "sft"] as const)("documents every setting of %s", (algorithm) => {
    const settings = configSettings(algorithm);
    expect(settings.length).toBeGreaterThan(15);
    for (const { path, accepts, description } of settings) {
      expect(description, path).toMatch(/\.$/);
      expect(accepts, path).not.toMatch(/undefined/);
    }
  });
});

describe("nearestName", () => {
  const names = ["ppo.clipRange", "ppo.updates", "seed"];

  test.each([
    ["ppo.cliprange", "ppo.clipRange"],
    ["ppo.update", "ppo.updates"],
    ["sede", undefined],
    ["see", "seed"],
    ["temperature", undefined],
  ])("of %s is %s", (name, nearest) => {
    expect(nearestName(name, names)).toBe(nearest);
  });
});
