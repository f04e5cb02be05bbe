/** The HTML of a report. Pure: data in, text out. */
import { formatDuration } from "./duration.js";
import { failureKinds, type Score } from "./evaluate.js";
import { type Difference, type Improvement, type Verdict, verdictTexts } from "./improvement.js";
import type { Row } from "./json-lines.js";
import type { RecordedEpisode, RecordedStep } from "./recorded-episode.js";
import type { Summary } from "./summary.js";

/** One chart: up to three metrics over the updates. */
export interface Chart {
  readonly title: string;
  readonly description: string;
  readonly keys: readonly string[];
  /** Shares of a whole: drawn from 0 to 1. */
  readonly isRate: boolean;
}

/** All that a report shows. */
export interface ReportData {
  readonly summary: Summary;
  readonly rows: readonly Row[];
  readonly charts: readonly Chart[];
  readonly episodes: Readonly<Record<"before" | "after", readonly RecordedEpisode[]>>;
  /** Contents of `config.yaml` and `versions.json`. */
  readonly config: string;
  readonly versions: string;
}

/**
 * The whole page, with styles, scripts, data and pictures inside.
 *
 * @param styles contents of style sheets
 * @param scripts contents of scripts, run in order at the end of the page
 */
export function renderReport(
  data: ReportData,
  styles: readonly string[],
  scripts: readonly string[],
): string {
  const { summary, rows, charts, episodes } = data;
  const title = `${summary.task}, ${summary.algorithm}, seed ${summary.seed}`;
  const embedded = { rows, charts, random: summary.random, chosenUpdate: summary.chosenUpdate };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
${styles.map((style) => `<style>${style}</style>`).join("\n")}
</head>
<body>
${renderHeader(data, title)}
<h2>Held-out episodes</h2>
${renderScores(data)}
<h2>Training</h2>
<div class="charts">
${charts.map(renderChart).join("\n")}
</div>
${renderEpisodes("Episodes before training", episodes.before)}
${renderEpisodes("Episodes after training", episodes.after)}
<h2>Configuration</h2>
<div class="card">
<details><summary>config.yaml</summary><pre>${escapeHtml(data.config)}</pre></details>
<details><summary>versions.json</summary><pre>${escapeHtml(data.versions)}</pre></details>
</div>
<script type="application/json" id="report-data">${escapeJson(embedded)}</script>
${scripts.map((script) => `<script>${script}</script>`).join("\n")}
</body>
</html>
`;
}

function renderHeader({ summary }: ReportData, title: string): string {
  const { before, after, improvement, updates, chosenUpdate, environmentSteps, wallSeconds } = summary;
  const ending = summary.stopReason === "solved" ? "stopped as solved" : "all updates used";
  const played = environmentSteps > 0 ? `, ${environmentSteps} environment steps` : "";
  return `<h1>${escapeHtml(title)}</h1>
<p class="quiet">${updates} updates${played}, ${formatDuration(wallSeconds)}; ${ending};
weights after update ${chosenUpdate} kept</p>
<p class="headline">Success <strong>${percent(before.successRate)}</strong> before training,
<strong>${percent(after.successRate)}</strong> after: ${renderVerdict(improvement.sampled.success.verdict)}</p>
<p class="quiet">${after.episodes} held-out episodes, sampled as in training;
random play ${percent(summary.random)}${
    summary.optimal === null
      ? ""
      : `,
optimal play ${percent(summary.optimal)}`
  }</p>`;
}

function renderScores({ summary }: ReportData): string {
  const { before, after, greedy, references, improvement } = summary;
  const players: readonly (readonly [name: string, score: Score | null, className?: string])[] = [
    ["Random play", references.random],
    ["Before, sampled", before],
    ["Before, greedy", greedy.before],
    ["After, sampled", after, "kept"],
    ["After, greedy", greedy.after],
    ["Expert play", references.expert],
    ["Optimal play", references.optimal],
  ];
  const scores = players.flatMap(([name, score, className = ""]) =>
    score === null ? [] : [{ name, score, className }],
  );
  const kinds = failureKinds(scores.map(({ score }) => score));
  return [
    renderTable(
      ["", "Success", INTERVAL, "Return", INTERVAL, "Optimal actions", "Reads the image", "Decisions"],
      scores.map(({ name, score, className }) => ({ name, cells: scoreCells(score), className })),
    ),
    renderTable(
      ["After - before", "Success", INTERVAL, "Success is", "Return", INTERVAL, "Return is"],
      Object.entries(improvement).map(([name, change]) => ({ name, cells: changeCells(change) })),
    ),
    "<h3>Decisions that went wrong, by their first fault</h3>",
    renderTable(
      ["", "No action named", "Illegal action", "Misread", "Wrong decision"],
      scores.map(({ name, score: { faults } }) => ({
        name,
        cells: [faults.unreadable, faults.illegal, faults.misread, faults.wrong].map(percent),
      })),
    ),
    kinds.length === 0
      ? ""
      : `<h3>Episodes that failed</h3>\n${renderTable(
          ["", ...kinds],
          scores.map(({ name, score: { failures } }) => ({
            name,
            cells: kinds.map((kind) => percent(failures === null ? null : (failures[kind] ?? 0))),
          })),
        )}`,
  ].join("\n");
}

const INTERVAL = "95 % interval";

interface TableRow {
  readonly name: string;
  readonly cells: readonly string[];
  readonly className?: string;
}

function renderTable(heads: readonly string[], rows: readonly TableRow[]): string {
  const lines = rows.map(
    ({ name, cells, className = "" }) =>
      `<tr class="${className}"><th>${escapeHtml(name)}</th>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`,
  );
  return `<div class="card scroll"><table class="scores">
<thead><tr>${heads.map((head) => `<th>${escapeHtml(head)}</th>`).join("")}</tr></thead>
<tbody>
${lines.join("\n")}
</tbody>
</table></div>`;
}

function scoreCells(score: Score): string[] {
  const [lower, upper] = score.successInterval;
  const [least, most] = score.returnInterval;
  return [
    percent(score.successRate),
    `${percent(lower)} to ${percent(upper)}`,
    score.returnMean.toFixed(2),
    `${least.toFixed(2)} to ${most.toFixed(2)}`,
    percent(score.actionAccuracy),
    percent(score.readingAccuracy),
    score.stepsMean.toFixed(2),
  ];
}

function changeCells({ success, return: returned }: Improvement): string[] {
  const sign = (value: number): string => (value > 0 ? "+" : "");
  const points = (share: number): string => `${sign(share)}${percent(share)}`;
  const amount = (value: number): string => `${sign(value)}${value.toFixed(2)}`;
  const cells = (
    { value, interval: [lower, upper], verdict }: Difference,
    show: (value: number) => string,
  ) => [show(value), `${show(lower)} to ${show(upper)}`, renderVerdict(verdict)];
  return [...cells(success, points), ...cells(returned, amount)];
}

function renderVerdict(verdict: Verdict): string {
  const text = verdictTexts[verdict];
  return verdict === "unclear"
    ? text
    : `<span class="${verdict === "better" ? "good" : "bad"}">${text}</span>`;
}

function renderChart({ title, description }: ReportData["charts"][number], index: number): string {
  return `<div class="card"><h3>${escapeHtml(title)}</h3>
<p class="quiet small">${escapeHtml(description)}</p>
<div data-chart="${index}"></div></div>`;
}

function renderEpisodes(title: string, episodes: readonly RecordedEpisode[]): string {
  if (episodes.length === 0) return "";
  return `<h2>${title}</h2>\n${episodes.map(renderEpisode).join("\n")}`;
}

function renderEpisode(episode: RecordedEpisode): string {
  const outcome = episode.success
    ? '<span class="good">solved</span>'
    : '<span class="bad">not solved</span>';
  const prompt = episode.steps[0]!.prompt;
  return `<div class="card episode">
<h3>Episode ${episode.episode}: ${outcome}, return ${episode.return}</h3>
<div class="steps">
${episode.steps.map((step) => renderStep(step, prompt)).join("\n")}
<div class="step"><img src="${episode.finalFrame}" alt="last frame"><p class="quiet small">end</p></div>
</div>
<details><summary class="quiet small">prompt</summary><pre>${escapeHtml(prompt)}</pre></details>
</div>`;
}

function renderStep(
  { frame, prompt, text, action, legal, reward }: RecordedStep,
  firstPrompt: string,
): string {
  const changed = prompt === firstPrompt ? "" : `<pre class="quiet">${escapeHtml(prompt)}</pre>`;
  const response = text === null ? "" : `<pre>${escapeHtml(text)}</pre>`;
  const chosen = legal ? "action" : "no action named; drawn";
  return `<div class="step"><img src="${frame}" alt="frame">${changed}${response}
<p class="small">${chosen} <strong>${escapeHtml(action)}</strong>, reward ${reward}</p></div>`;
}

function percent(share: number | null): string {
  return share === null ? "-" : `${(100 * share).toFixed(1)} %`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** JSON that cannot end the script element it stands in. */
function escapeJson(value: object): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}
