import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  type AblationResult,
  gatherResult,
  renderResult,
  writeResult,
} from "../../src/train/ablation-table.js";
import type { Score } from "../../src/train/evaluate.js";
import { improvementOf } from "../../src/train/improvement.js";
import type { Summary } from "../../src/train/summary.js";
import { wilsonInterval } from "../../src/train/wilson-interval.js";
import { arrowConfig } from "./fakes.js";
import { temporaryFolder } from "./temporary-folder.js";

function score(successes: number, returnMean = 0): Score {
  return {
    episodes: 100,
    successRate: successes / 100,
    successInterval: wilsonInterval(successes, 100),
    returnMean,
    returnInterval: [returnMean - 0.5, returnMean + 0.5],
    stepsMean: 2,
    actionAccuracy: null,
    readingAccuracy: null,
    faults: { unreadable: 0, illegal: 0, misread: null, wrong: null },
    failures: null,
  };
}

/** A summary with these successes of 100 before and after, sampled, and after, greedy. */
function summary(before: number, after: number, greedy: number, seed: number): Summary {
  return {
    task: "arrow",
    algorithm: "ppo",
    before: score(before),
    after: score(after),
    random: 0.25,
    optimal: 1,
    greedy: { before: score(before), after: score(greedy, greedy / 100) },
    improvement: {
      sampled: improvementOf(score(before), score(after)),
      greedy: improvementOf(score(before), score(greedy)),
    },
    references: { random: score(25), expert: null, optimal: score(100) },
    seed,
    updates: 10 + seed,
    chosenUpdate: 3,
    stopReason: "updates",
    environmentSteps: 100,
    wallSeconds: 90,
  };
}

const about = {
  title: "Arrows",
  about: "What it is.\n",
  command: "sightline ablate arrows",
  date: "2026-01-02",
};

/** Run folders of two arms of two seeds: one run failed, one never began. */
async function gather(): Promise<AblationResult> {
  const out = temporaryFolder();
  const arms = ["up", "down"].map((name) => ({
    name,
    start: undefined,
    runs: [1, 2].map((seed) => ({
      seed,
      config: arrowConfig({ seed }),
      folder: join(out, name, String(seed)),
    })),
  }));
  const write = (arm: number, run: number, commit: string | null, content?: Summary) => {
    const { folder } = arms[arm]!.runs[run]!;
    mkdirSync(folder, { recursive: true });
    const versions = { sightline: "1.2.3", commit, cpu: "Abacus", cores: 2 };
    writeFileSync(join(folder, "versions.json"), JSON.stringify(versions));
    if (content !== undefined) writeFileSync(join(folder, "summary.json"), JSON.stringify(content));
  };
  write(0, 0, "abc", summary(30, 90, 100, 1));
  write(0, 1, "abc", summary(30, 34, 50, 2));
  write(1, 0, null);
  const problems = new Map([[arms[1]!.runs[0]!.folder, "out of\nmemory | disk"]]);
  return gatherResult(about, arms, problems);
}

/** The cells of the row that begins with these. */
function cellsOf(page: string, ...start: string[]): string[] {
  const line = page.split("\n").find((text) => text.startsWith(`| ${start.join(" | ")} |`));
  return line!
    .split(/(?<!\\)\|/)
    .slice(1 + start.length, -1)
    .map((cell) => cell.trim());
}

describe("the table of an ablation", () => {
  test("holds means, extremes and verdicts by arm", async () => {
    const page = renderResult(await gather());
    expect(cellsOf(page, "up", "2 of 2")).toEqual([
      "0.300 (0.300 to 0.300)",
      "0.620 (0.340 to 0.900)",
      "0.750 (0.500 to 1.000)",
      "0.75 (0.50 to 1.00)",
      "1 of 2",
    ]);
    expect(cellsOf(page, "down", "0 of 2")).toEqual(["-", "-", "-", "-", "-"]);
    expect(page).toContain("On the same 100 held-out episodes: random play 0.250, optimal play 1.000.");
  });

  test("tells of every run what it reached, or why it did not", async () => {
    const page = renderResult(await gather());
    const interval = (successes: number) =>
      wilsonInterval(successes, 100)
        .map((bound) => bound.toFixed(3))
        .join(" to ");
    expect(cellsOf(page, "up", "1")).toEqual([
      `0.300 (${interval(30)})`,
      `0.900 (${interval(90)})`,
      `1.000 (${interval(100)})`,
      "11",
      "1.5",
      "better",
    ]);
    expect(cellsOf(page, "up", "2").at(-1)).toBe("no clear change");
    expect(cellsOf(page, "down", "1")).toEqual(["-", "-", "-", "-", "-", "out of; memory \\| disk"]);
    expect(cellsOf(page, "down", "2").at(-1)).toBe("not finished");
  });

  test("says where its numbers come from, and is kept with its data", async () => {
    const result = await gather();
    const path = join(temporaryFolder(), "deep", "arrows.md");
    await writeResult(path, result);
    const page = readFileSync(path, "utf8");
    expect(page).toBe(renderResult(result));
    expect(page.startsWith("# Arrows\n\nWhat it is.\n\n## By arm\n")).toBe(true);
    expect(
      page.endsWith(
        "- Command: `sightline ablate arrows`\n- Commit: abc; release 1.2.3\n- Machine: Abacus, 2 cores\n- Date: 2026-01-02\n",
      ),
    ).toBe(true);
    expect(JSON.parse(readFileSync(path.replace(".md", ".json"), "utf8"))).toEqual(result);
    expect(result.arms[0]!.runs[1]!.summary).toEqual(summary(30, 34, 50, 2));
  });
});
