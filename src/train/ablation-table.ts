/** The result of an ablation, from the files that its runs left, as data and as a page. */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { PlannedArm } from "./ablation.js";
import type { Score } from "./evaluate.js";
import { verdictTexts } from "./improvement.js";
import { readSummary, type Summary } from "./summary.js";
import { writeWhole } from "./write-whole.js";

/** What became of one run: its summary, or why there is none. */
export interface AblationRun {
  readonly seed: number;
  readonly summary: Summary | null;
  /** Null for a finished run. */
  readonly problem: string | null;
}

/** What the table of an ablation is made of, and what its JSON file holds. */
export interface AblationResult {
  readonly title: string;
  readonly about: string;
  /** The command that repeats it. */
  readonly command: string;
  /** When the table was written, as an ISO 8601 date. */
  readonly date: string;
  /** Distinct revisions and machines that its runs were begun on, from their `versions.json`. */
  readonly commits: readonly string[];
  readonly machines: readonly string[];
  readonly arms: readonly { readonly name: string; readonly runs: readonly AblationRun[] }[];
}

/**
 * Gathers what the runs of an ablation left. Every number comes from their `summary.json`.
 *
 * @param problems why runs did not come to their end, by run folder; others without a summary are not finished
 */
export async function gatherResult(
  about: Pick<AblationResult, "title" | "about" | "command" | "date">,
  arms: readonly PlannedArm[],
  problems: ReadonlyMap<string, string>,
): Promise<AblationResult> {
  const [commits, machines] = [new Set<string>(), new Set<string>()];
  const gathered = [];
  for (const { name, runs } of arms) {
    const gatheredRuns: AblationRun[] = [];
    for (const { seed, folder } of runs) {
      const summary = (await readSummary(folder)) ?? null;
      const problem = summary === null ? (problems.get(folder) ?? "not finished") : null;
      gatheredRuns.push({ seed, summary, problem });
      const versions = join(folder, "versions.json");
      if (!existsSync(versions)) continue;
      const { sightline, commit, cpu, cores } = JSON.parse(await readFile(versions, "utf8")) as Versions;
      commits.add(commit ?? `release ${sightline}`);
      machines.add(`${cpu}, ${cores} cores`);
    }
    gathered.push({ name, runs: gatheredRuns });
  }
  return { ...about, commits: [...commits], machines: [...machines], arms: gathered };
}

interface Versions {
  readonly sightline: string;
  readonly commit?: string | null;
  readonly cpu: string;
  readonly cores: number;
}

/** Writes the page, and the data beside it under the same name with `.json`. @param path ends in `.md` */
export async function writeResult(path: string, result: AblationResult): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeWhole(path, renderResult(result));
  await writeWhole(path.replace(/\.md$/, ".json"), `${JSON.stringify(result, undefined, 2)}\n`);
}

/** The page, in Markdown. */
export function renderResult(result: AblationResult): string {
  const { title, about, command, date, commits, machines, arms } = result;
  const first = arms.flatMap(({ runs }) => runs).find(({ summary }) => summary !== null)?.summary;
  return `${[
    `# ${title}`,
    about.trim(),
    "## By arm",
    ARMS_NOTE,
    markdownTable(
      [
        "",
        "runs",
        "success before, sampled",
        "success after, sampled",
        "success after, greedy",
        "return after, greedy",
        "better than its start",
      ],
      arms.map(({ name, runs }) => [name, ...armCells(runs)]),
    ),
    first && referencesOf(first),
    "## Every run",
    "Success rates with their 95 % intervals; the last column compares the sampled success rates of after and before.",
    markdownTable(
      ["", "seed", "before, sampled", "after, sampled", "after, greedy", "updates", "minutes", "after is"],
      arms.flatMap(({ name, runs }) => runs.map((run) => [name, String(run.seed), ...runCells(run)])),
    ),
    [
      `- Command: \`${command}\``,
      `- Commit: ${commits.join("; ") || "unknown"}`,
      `- Machine: ${machines.join("; ") || "unknown"}`,
      `- Date: ${date}`,
    ].join("\n"),
  ]
    .filter((part) => part !== undefined && part !== "")
    .join("\n\n")}\n`;
}

const ARMS_NOTE =
  "Means over the finished runs, with the lowest and the highest in parentheses. A run is better than its start where the 95 % " +
  "interval of the difference of its sampled success rates lies above zero.";

function armCells(runs: readonly AblationRun[]): string[] {
  const finished = runs.flatMap(({ summary }) => (summary === null ? [] : [summary]));
  const over = (of: (summary: Summary) => number, digits: number): string => {
    if (finished.length === 0) return "-";
    const values = finished.map(of);
    const mean = values.reduce((total, value) => total + value, 0) / values.length;
    const [lowest, highest] = [Math.min(...values), Math.max(...values)];
    return `${mean.toFixed(digits)} (${lowest.toFixed(digits)} to ${highest.toFixed(digits)})`;
  };
  const better = finished.filter(({ improvement }) => improvement.sampled.success.verdict === "better");
  return [
    `${finished.length} of ${runs.length}`,
    over(({ before }) => before.successRate, 3),
    over(({ after }) => after.successRate, 3),
    over(({ greedy }) => greedy.after.successRate, 3),
    over(({ greedy }) => greedy.after.returnMean, 2),
    finished.length === 0 ? "-" : `${better.length} of ${finished.length}`,
  ];
}

function runCells({ summary, problem }: AblationRun): string[] {
  if (summary === null) return ["-", "-", "-", "-", "-", problem ?? "not finished"];
  const { before, after, greedy, improvement, updates, wallSeconds } = summary;
  const { verdict } = improvement.sampled.success;
  return [
    ...[before, after, greedy.after].map(rateCell),
    String(updates),
    (wallSeconds / 60).toFixed(1),
    verdictTexts[verdict],
  ];
}

function rateCell({ successRate, successInterval: [lower, upper] }: Score): string {
  return `${successRate.toFixed(3)} (${lower.toFixed(3)} to ${upper.toFixed(3)})`;
}

function referencesOf({ references }: Summary): string {
  const known = Object.entries(references).flatMap(([name, score]: [string, Score | null]) =>
    score === null ? [] : [`${name} play ${score.successRate.toFixed(3)}`],
  );
  return `On the same ${references.random.episodes} held-out episodes: ${known.join(", ")}.`;
}

/** A table whose cells may hold anything. */
function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll(/\s*\n\s*/g, "; ").replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `| ${head.map(() => "---").join(" | ")} |`, ...rows.map(line)].join("\n");
}
