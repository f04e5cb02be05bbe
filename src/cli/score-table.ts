import { failureKinds, type Score } from "../train/evaluate.js";
import { type Difference, type Improvement, verdictTexts } from "../train/improvement.js";
import { formatTable } from "./table.js";

const INTERVAL = "95 % interval";

/** Scores as tables of text, one line each: what was reached, then what went wrong, in decisions and in episodes. */
export function formatScores(scores: Readonly<Record<string, Score | null>>): string {
  const players = Object.entries(scores).flatMap(([name, score]) =>
    score === null ? [] : [{ name, score }],
  );
  const kinds = failureKinds(players.map(({ score }) => score));
  const tables = [
    [
      ["", "success", INTERVAL, "return", INTERVAL, "optimal actions", "reads image"],
      ...players.map(({ name, score }) => [name, ...resultCells(score)]),
    ],
    [
      ["of decisions", "no action named", "illegal action", "misread", "wrong decision"],
      ...players.map(({ name, score: { faults } }) => [
        name,
        ...[faults.unreadable, faults.illegal, faults.misread, faults.wrong].map(share),
      ]),
    ],
    [
      ["of episodes", ...kinds],
      ...players.map(({ name, score: { failures } }) => [
        name,
        ...kinds.map((kind) => share(failures === null ? null : (failures[kind] ?? 0))),
      ]),
    ],
  ];
  return (kinds.length === 0 ? tables.slice(0, 2) : tables).map(formatTable).join("\n\n");
}

/** What training changed, as a table of text: one line for each way of answering. */
export function formatImprovement(improvement: Readonly<Record<string, Improvement>>): string {
  const rows = Object.entries(improvement).map(([name, { success, return: returned }]) => [
    name,
    ...changeCells(success, 3),
    ...changeCells(returned, 2),
  ]);
  const head = ["after - before", "success", INTERVAL, "success is", "return", INTERVAL, "return is"];
  return formatTable([head, ...rows]);
}

function changeCells({ value, interval: [lower, upper], verdict }: Difference, digits: number): string[] {
  const show = (number: number): string => `${number > 0 ? "+" : ""}${number.toFixed(digits)}`;
  return [show(value), `${show(lower)} to ${show(upper)}`, verdictTexts[verdict]];
}

function resultCells(score: Score): string[] {
  const [lower, upper] = score.successInterval;
  const [least, most] = score.returnInterval;
  return [
    share(score.successRate),
    `${share(lower)} to ${share(upper)}`,
    score.returnMean.toFixed(2),
    `${least.toFixed(2)} to ${most.toFixed(2)}`,
    share(score.actionAccuracy),
    share(score.readingAccuracy),
  ];
}

function share(value: number | null): string {
  return value === null ? "-" : value.toFixed(3);
}
