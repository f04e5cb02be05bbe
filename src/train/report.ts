/** `report.html`: a run in one file that asks nothing of the network. */
import { readFile } from "node:fs/promises";
import { ppoMetrics } from "../algorithms/ppo-metrics.js";
import { sftMetrics } from "../algorithms/sft.js";
import type { Row } from "./json-lines.js";
import { dependencyPath, packagePath } from "./package-path.js";
import { loadRecordedEpisodes } from "./recorded-episode.js";
import { type Chart, type ReportData, renderReport } from "./report-page.js";
import type { RunFolder } from "./run-folder.js";
import type { Summary } from "./summary.js";
import { writeWhole } from "./write-whole.js";

/** Writes the report of a run from what its folder holds. */
export async function writeReport(folder: RunFolder, summary: Summary): Promise<void> {
  const rows = await folder.metrics.read();
  const data: ReportData = {
    summary,
    rows,
    charts: chartsOf(rows),
    episodes: {
      before: await loadRecordedEpisodes(folder.file("episodes", "before")),
      after: await loadRecordedEpisodes(folder.file("episodes", "after")),
    },
    config: await readFile(folder.file("config.yaml"), "utf8"),
    versions: await readFile(folder.file("versions.json"), "utf8"),
  };
  const styles = [dependencyPath("uplot/dist/uPlot.min.css"), packagePath("assets", "report", "report.css")];
  const scripts = [
    dependencyPath("uplot/dist/uPlot.iife.min.js"),
    packagePath("assets", "report", "charts.js"),
  ];
  const read = (paths: string[]): Promise<string[]> =>
    Promise.all(paths.map((path) => readFile(path, "utf8")));
  await writeWhole(folder.file("report.html"), renderReport(data, await read(styles), await read(scripts)));
}

const descriptions: Readonly<Record<string, string>> = { ...ppoMetrics, ...sftMetrics };

/** Metrics that read best together; every other metric has a chart of its own. */
const sharedCharts: readonly Omit<Chart, "description">[] = [
  {
    title: "Success and optimal actions",
    keys: ["rollout/success_rate", "rollout/action_accuracy"],
    isRate: true,
  },
  { title: "Responses", keys: ["rollout/reading_accuracy", "rollout/illegal_rate"], isRate: true },
  { title: "Gradient norms", keys: ["ppo/gradient_norm", "ppo/value_gradient_norm"], isRate: false },
];

/** The charts for the metrics that occur in a run. */
export function chartsOf(rows: readonly Row[]): Chart[] {
  const present = new Set(rows.flatMap((row) => Object.keys(row).filter((key) => key.includes("/"))));
  const charts: Chart[] = [];
  for (const { title, keys, isRate } of sharedCharts) {
    const found = keys.filter((key) => present.delete(key));
    if (found.length === 0) continue;
    charts.push({ title, keys: found, isRate, description: found.map(describe).join(" ") });
  }
  for (const key of present)
    charts.push({ title: key, keys: [key], isRate: false, description: describe(key) });
  return charts;
}

function describe(key: string): string {
  return descriptions[key] ?? "";
}
