import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { ConfigError } from "../../src/train/config-error.js";
import { numberLine } from "../../src/train/presets.js";
import { resolveConfig } from "../../src/train/resolve-config.js";
import { temporaryFolder } from "./temporary-folder.js";

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function issuesOf(source: string, overrides: string[] = []) {
  try {
    resolveConfig(source, overrides);
  } catch (error) {
    if (error instanceof ConfigError) return error.issues;
    throw error;
  }
  throw new Error("expected a ConfigError");
}

describe("resolveConfig", () => {
  test("gives a preset as it is, and changed by overrides", () => {
    expect(resolveConfig("number-line")).toEqual(numberLine());
    const changed = resolveConfig("number-line", [
      "seed=7",
      "threads=2",
      "ppo.updates=3",
      "ppo.learningRate=2e-4",
    ]);
    const preset = numberLine();
    expect(changed).toEqual({
      ...preset,
      seed: 7,
      threads: 2,
      ppo: { ...preset.ppo, updates: 3, learningRate: 2e-4 },
    });
  });

  test("takes lists as YAML, and null as taking a setting away, where it is no value of the setting", () => {
    const overrides = ["ppo.adamBetas=[0.8, 0.9]", "ppo.warmupSteps=null", "ppo.dualClip=null"];
    const { ppo } = resolveConfig("number-line", overrides) as never;
    expect(ppo).toMatchObject({ adamBetas: [0.8, 0.9], warmupSteps: 32, dualClip: null });
  });

  test("reads YAML and JSON files that extend a preset", () => {
    const yaml = file("mine.yaml", "extends: number-line\nseed: 5\nppo:\n  updates: 2 # short\n");
    const json = file("mine.json", '{"extends": "number-line", "seed": 5, "ppo": {"updates": 2}}');
    const preset = numberLine();
    const expected = { ...preset, seed: 5, ppo: { ...preset.ppo, updates: 2 } };
    expect(resolveConfig(yaml)).toEqual(expected);
    expect(resolveConfig(json)).toEqual(expected);
  });

  test("reads a complete file", () => {
    const path = file(
      "whole.yml",
      "algorithm: sft\ntask: number-line\nmodel: {checkpoint: x, weights: fresh}\n",
    );
    expect(resolveConfig(path)).toMatchObject({ algorithm: "sft", model: { weights: "fresh" } });
  });

  test("lists the issues of overrides, task and values together", () => {
    const issues = issuesOf("number-line", [
      "seed",
      "ppo.updates=0",
      "task=number-lin",
      "ppo.updaets=1",
      "seed=1",
      "seed=2",
    ]);
    expect(issues.map(({ path, nearest }) => [path, nearest])).toEqual([
      ["--set", undefined],
      ["seed", undefined],
      ["task", "number-line"],
      ["ppo.updates", undefined],
      ["ppo.updaets", "ppo.updates"],
    ]);
  });

  test.each(["seed=[1", "=1", "seed=", "seed"])("refuses the override %j", (override) => {
    expect(issuesOf("number-line", [override])).toMatchObject([{ path: "--set", expected: "path=value" }]);
  });

  test.each(["threads=null", "ppo.nothing=null"])(
    "refuses %s, which takes away what is not there",
    (override) => {
      expect(issuesOf("number-line", [override])).toMatchObject([{ received: "null" }]);
    },
  );

  test("refuses a setting inside a setting that is no group", () => {
    expect(issuesOf("number-line", ["seed.value=1"])).toMatchObject([
      { path: "seed", expected: "an integer >= 0 and <= 4294967295", received: '{"value":1}' },
    ]);
  });

  test("cannot be made to change what all objects inherit", () => {
    expect(issuesOf("number-line", ["__proto__.polluted=1"])).toHaveLength(1);
    expect({}).not.toHaveProperty("polluted");
  });

  test("names the nearest preset for an unknown one", () => {
    expect(issuesOf("number-lien")).toMatchObject([{ nearest: "number-line" }]);
    expect(issuesOf("toString")).toHaveLength(1);
    expect(issuesOf(file("bad.yaml", "extends: numberline\n"))).toMatchObject([
      { path: "extends", nearest: "number-line" },
    ]);
  });

  test("says what is wrong with a file that cannot be used", () => {
    expect(issuesOf(join(folder, "absent.yaml"))).toMatchObject([{ expected: "a file that can be read" }]);
    expect(issuesOf(file("torn.yaml", "a: [1"))).toMatchObject([{ expected: "valid YAML or JSON" }]);
    expect(issuesOf(file("twice.yaml", "seed: 1\nseed: 2"))).toMatchObject([
      { expected: "valid YAML or JSON" },
    ]);
    expect(issuesOf(file("list.yaml", "- 1"))).toMatchObject([{ expected: "a group of settings" }]);
  });
});
