import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ablationNames, planAblation, readAblation } from "../../src/train/ablation.js";
import type { PpoRunConfig } from "../../src/train/config.js";
import { ConfigError } from "../../src/train/config-error.js";
import { temporaryFolder } from "./temporary-folder.js";

function fileOf(content: string): string {
  const path = join(temporaryFolder(), "mine.yaml");
  writeFileSync(path, content);
  return path;
}

function issuesOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error("expected a ConfigError");
}

const mine = `
title: Mine
config: number-line
seeds: [4, 7]
arms:
  - name: Plain
  - name: "Clip: 0.3 & more"
    set: { ppo.clipRange: 0.3, ppo.dualClip: null, model.frozen: [vision, projector] }
  - name: own start
    set: { thoughts: false }
    start: { config: number-line-sft, set: { thoughts: false, sft.steps: 9 } }
`;

describe("an ablation", () => {
  test("becomes whole configurations, a folder of its own for each", () => {
    const [plain, clip, started] = planAblation(readAblation(fileOf(mine)), "out", [4, 7]);
    expect(plain!.runs.map(({ folder, seed }) => [folder, seed])).toEqual([
      ["out/plain/seed4", 4],
      ["out/plain/seed7", 7],
    ]);
    expect(plain).toMatchObject({
      start: undefined,
      runs: [{ config: { seed: 4, ppo: { dualClip: 3 } } }, {}],
    });
    expect(clip!.runs[1]).toMatchObject({
      folder: "out/clip-0.3-more/seed7",
      config: {
        seed: 7,
        ppo: { clipRange: 0.3, dualClip: null },
        model: { frozen: ["vision", "projector"] },
      },
    });
    expect(started!.start).toMatchObject({
      folder: "out/own-start/start",
      config: { algorithm: "sft", thoughts: false, sft: { steps: 9 } },
    });
    for (const { config } of started!.runs) {
      expect(config).toMatchObject({
        thoughts: false,
        model: { checkpoint: "out/own-start/start/checkpoints/best" },
      });
    }
  });

  test("takes overrides into every arm", () => {
    const arms = planAblation(readAblation(fileOf(mine)), "out", [1], ["ppo.updates=2"]);
    for (const { runs } of arms) expect(runs[0]!.config).toMatchObject({ ppo: { updates: 2 } });
    expect(arms[2]!.start!.config).toMatchObject({ sft: { steps: 9 } });
  });

  test("lists what is wrong in every arm, by its name", () => {
    const bad = mine.replace("0.3,", "3,").replace("sft.steps: 9", "sft.step: 9");
    const message = issuesOf(() => planAblation(readAblation(fileOf(bad)), "out", [4]));
    expect(message).toContain(
      "Clip: 0.3 & more, seed 4: ppo.clipRange: expected a number > 0 and < 1, received 3",
    );
    expect(message).toContain("own start, its start: sft.step: expected a setting that exists");
  });

  test.each([
    ["title: T\nconfig: number-line", "arms: expected a list"],
    ["title: T\nconfig: number-line\narm: []\narms: [{ name: a }]", "arm: expected a setting that exists"],
    ["title: T\nconfig: number-line\narms: [{ name: a }, { name: A! }]", "arms.1.name: expected a name with"],
    ["title: T\nconfig: number-line\narms: [{ name: λ }]", 'received "λ" (a string)'],
    [
      "title: T\nconfig: number-line\nseeds: [1, 1]\narms: [{ name: a }]",
      "seeds: expected seeds that differ",
    ],
    ["title: [", "expected valid YAML or JSON"],
  ])("refuses %j", (content, message) => {
    expect(issuesOf(() => readAblation(fileOf(content)))).toContain(message);
  });

  test("refuses a name that is not known, and a file that is not there", () => {
    expect(issuesOf(() => readAblation("number-line-lamda"))).toContain("did you mean number-line-lambda?");
    expect(issuesOf(() => readAblation("absent.yaml"))).toContain("expected a file that can be read");
  });
});

describe("the ablations that ship", () => {
  test("are valid, and differ in what they say they do", () => {
    for (const name of ablationNames)
      expect(planAblation(readAblation(name), "out", [1]).length).toBeGreaterThan(1);
    const configs = (name: string) =>
      planAblation(readAblation(name), "out", [1]).map(({ runs }) => runs[0]!.config as PpoRunConfig);
    const lambdas = configs("number-line-lambda");
    expect(lambdas.map(({ ppo }) => ppo.lambda)).toEqual([0, 0.1, 0.3, 0.5, 0.7, 1]);
    const alike = lambdas.map((config) => ({ ...config, ppo: { ...config.ppo, lambda: 0 } }));
    for (const config of alike) expect(config).toEqual(alike[0]);
    expect(configs("number-line-thoughts").map(({ thoughts }) => thoughts)).toEqual([true, false]);
    expect(existsSync("out")).toBe(false);
  });
});
