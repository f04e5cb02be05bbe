/** What a run achieved, and the scores on the held-out panel that say so. */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Score } from "./evaluate.js";
import type { Improvement } from "./improvement.js";
import type { PolicyScores, ReferenceScores } from "./panels.js";
import type { RunFolder } from "./run-folder.js";
import { writeWhole } from "./write-whole.js";

/** Contents of `summary.json`. All scores are of the same held-out panel. */
export interface Summary {
  readonly task: string;
  readonly algorithm: string;
  /** The policy at the start, sampled as in training. */
  readonly before: Score;
  /** The policy that the run chose, sampled as in training. */
  readonly after: Score;
  /** Success rate of uniformly random play. */
  readonly random: number;
  /** Success rate of optimal play; null where the environment cannot tell it. */
  readonly optimal: number | null;
  /** The policy at the start and the chosen one, decoding greedily. */
  readonly greedy: { readonly before: Score; readonly after: Score };
  /** From `before` to `after`, and between the greedy scores, with intervals. */
  readonly improvement: { readonly sampled: Improvement; readonly greedy: Improvement };
  readonly references: ReferenceScores;
  readonly seed: number;
  /** Updates made. */
  readonly updates: number;
  /** The update that left the chosen weights; 0 for the initial ones. */
  readonly chosenUpdate: number;
  /** `solved`: the stop rule ended the run; `updates`: they were used up. */
  readonly stopReason: "solved" | "updates";
  /** Environment steps of training. */
  readonly environmentSteps: number;
  /** Duration of the run, evaluations included, interruptions not. */
  readonly wallSeconds: number;
}

/** The summary in a run's folder; undefined where the run is not finished. */
export async function readSummary(path: string): Promise<Summary | undefined> {
  const file = join(path, "summary.json");
  return existsSync(file) ? (JSON.parse(await readFile(file, "utf8")) as Summary) : undefined;
}

/** When the policy played the panel. */
export type Phase = "before" | "after";

/** The policy's scores of one phase; undefined before they were written. */
export async function readPanelScores(folder: RunFolder, phase: Phase): Promise<PolicyScores | undefined> {
  const path = panelFile(folder, phase);
  return existsSync(path) ? (JSON.parse(await readFile(path, "utf8")) as PolicyScores) : undefined;
}

export async function writePanelScores(folder: RunFolder, phase: Phase, scores: PolicyScores): Promise<void> {
  await mkdir(folder.file("evaluations"), { recursive: true });
  await writeWhole(panelFile(folder, phase), toJson(scores));
}

export async function writeSummary(folder: RunFolder, summary: Summary): Promise<void> {
  await writeWhole(folder.file("summary.json"), toJson(summary));
}

function panelFile(folder: RunFolder, phase: Phase): string {
  return folder.file("evaluations", `${phase}.json`);
}

function toJson(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
