import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { packagePath } from "../../src/train/package-path.js";
import { presets } from "../../src/train/presets.js";
import { publishedPanels } from "../../src/train/published-panels.js";
import { resolveConfig } from "../../src/train/resolve-config.js";
import { taskNames } from "../../src/train/tasks.js";

describe("the published panels", () => {
  test("are those of the documentation, one for every task", () => {
    const page = readFileSync(packagePath("docs", "evaluation.md"), "utf8");
    const rows = [...page.matchAll(/^\| ([a-z0-9-]+) \| (\d+) \| (\d+) \|/gm)];
    const documented = rows.map(([, task, episodes, seed]) => [
      task,
      { episodes: Number(episodes), seed: Number(seed) },
    ]);
    expect(Object.fromEntries(documented)).toEqual(publishedPanels);
    expect(Object.keys(publishedPanels)).toEqual(taskNames);
  });

  test("are what the presets of reinforcement learning are evaluated on", () => {
    for (const name of Object.keys(presets)) {
      const { algorithm, task, evaluation } = resolveConfig(name);
      if (algorithm === "ppo") expect(evaluation, name).toMatchObject(publishedPanels[task]!);
    }
  });
});
