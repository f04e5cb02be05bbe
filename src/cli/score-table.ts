import type { Score } from "../train/evaluate.js";
import { formatTable } from "./table.js";

const HEAD = ["", "success", "95 % interval", "return", "optimal actions", "reads image", "no action named"];

/** Scores as a table of text, one line each. */
export function formatScores(scores: Readonly<Record<string, Score | null>>): string {
  const rows = Object.entries(scores).flatMap(([name, score]) =>
    score === null ? [] : [[name, ...cells(score)]],
  );
  return formatTable([HEAD, ...rows]);
}

function cells(score: Score): string[] {
  const [lower, upper] = score.successInterval;
  return [
    share(score.successRate),
    `${share(lower)} to ${share(upper)}`,
    score.returnMean.toFixed(2),
    share(score.actionAccuracy),
    share(score.readingAccuracy),
    share(score.illegalRate),
  ];
}

function share(value: number | null): string {
  return value === null ? "-" : value.toFixed(3);
}
