import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chartsOf } from "../../src/train/report.js";
import { RunFolder } from "../../src/train/run-folder.js";
import { train } from "../../src/train/train.js";
import { ArrowPolicy, arrowConfig, arrowTask } from "./fakes.js";

let folder: RunFolder;
let html: string;
beforeAll(async () => {
  const path = mkdtempSync(join(tmpdir(), "sightline-test-"));
  const config = arrowConfig({ stop: { successRate: 1, patience: 2, minimumEpisodes: 1 } });
  folder = RunFolder.create(path, { note: "</pre><script>alert(1)</script>" }, { node: "v0" });
  await train({ config, task: arrowTask, policy: new ArrowPolicy(), folder });
  html = readFileSync(folder.file("report.html"), "utf8");
});

afterAll(() => rmSync(folder.path, { recursive: true }));

/** The JSON that the charts are drawn from, as a browser would find it. */
function embedded() {
  const match = /<script type="application\/json" id="report-data">(.*?)<\/script>/s.exec(html);
  return JSON.parse(match![1]!);
}

describe("report.html", () => {
  test("asks nothing of the network", () => {
    const addresses = [
      ...html.matchAll(/(?:\b(?:src|href|srcset|action|data)\s*=\s*["']?|url\(["']?)([^"'\s>)]+)/g),
    ];
    const external = addresses.map((match) => match[1]!).filter((address) => /^(https?:)?\/\//.test(address));
    expect(external).toEqual([]);
    expect(html).not.toMatch(/<link|@import|\bfetch\(|XMLHttpRequest|\bimport\s*\(/);
  });

  test("holds the metrics that were logged", async () => {
    const { rows, charts } = embedded();
    expect(rows).toEqual(await folder.metrics.read());
    expect(html.match(/<div data-chart="\d+">/g)).toHaveLength(charts.length);
  });

  test("shows the scores before and after beside random, expert and optimal play", () => {
    const rows = [
      ...html
        .split('<table class="scores">')[1]!
        .matchAll(/<tr class="[a-z]*"><th>([^<]+)<\/th><td>([^<]+)<\/td><td>([^<]+)<\/td>/g),
    ];
    expect(rows.map((row) => row[1])).toEqual([
      "Random play",
      "Before, sampled",
      "Before, greedy",
      "After, sampled",
      "After, greedy",
      "Expert play",
      "Optimal play",
    ]);
    const { after } = JSON.parse(readFileSync(folder.file("summary.json"), "utf8"));
    expect(rows[3]![2]).toBe(`${(100 * after.successRate).toFixed(1)} %`);
    expect(rows[3]![3]).toMatch(/^\d+\.\d % to \d+\.\d %$/);
  });

  test("says whether training made the policy better than chance explains", () => {
    const { improvement } = JSON.parse(readFileSync(folder.file("summary.json"), "utf8"));
    expect(improvement.sampled.success).toMatchObject({ verdict: "better" });
    expect(html).toMatch(/<strong>[\d.]+ %<\/strong> after: <span class="good">better<\/span>/);
    const { value, interval } = improvement.sampled.success;
    const points = (share: number) => `+${(100 * share).toFixed(1)} %`;
    expect(html).toContain(
      `<th>sampled</th><td>${points(value)}</td><td>${points(interval[0])} to ${points(interval[1])}</td>`,
    );
  });

  test("breaks down what went wrong", () => {
    const { before, greedy } = JSON.parse(readFileSync(folder.file("summary.json"), "utf8"));
    const cells = (name: string, table: number) => {
      const row = new RegExp(`<th>${name}</th>(.*)</tr>`).exec(html.split('<table class="scores">')[table]!);
      return [...row![1]!.matchAll(/<td>([^<]*)<\/td>/g)].map((match) => match[1]);
    };
    const wrong = (100 * before.faults.wrong).toFixed(1);
    expect(before.faults.wrong).toBeGreaterThan(0.3);
    expect(cells("Before, sampled", 3)).toEqual(["0.0 %", "0.0 %", "-", `${wrong} %`]);
    expect(cells("After, greedy", 3)).toEqual(["0.0 %", "0.0 %", "-", "0.0 %"]);
    expect(greedy.after.failures).toEqual({});
  });

  test("shows the recorded episodes with pictures, prompt, text, action and reward", () => {
    // Two episodes before and two after, of two decisions and a last frame each.
    expect(html.match(/<img src="data:image\/png;base64,[A-Za-z0-9+/=]+"/g)).toHaveLength(12);
    expect(html).toContain("Follow the arrow &lt;0&gt; &amp; &quot;answer&quot;.");
    expect(html).toContain("{&quot;thoughts&quot;: &quot;&lt;script&gt;&quot;");
    expect(html).toMatch(/action <strong>(left|right)<\/strong>, reward -?1/);
  });

  test("cannot be broken out of by text from the model or the configuration", () => {
    expect(html).not.toContain("alert(1)</script>");
    expect(html.match(/<script/g)).toHaveLength(3);
    expect(html.match(/<\/script>/g)).toHaveLength(3);
  });
});

describe("chartsOf", () => {
  test("gives every metric one place, in charts of at most three", () => {
    const rows = [
      { update: 1, environmentSteps: 9, "rollout/success_rate": 1, "mine/new_thing": 2, "ppo/kl": 0 },
      { update: 2, environmentSteps: 18, "rollout/action_accuracy": 1 },
    ];
    const charts = chartsOf(rows);
    expect(charts.map(({ keys }) => keys)).toEqual([
      ["rollout/success_rate", "rollout/action_accuracy"],
      ["mine/new_thing"],
      ["ppo/kl"],
    ]);
    expect(charts[1]).toMatchObject({ title: "mine/new_thing", description: "" });
    expect(charts[2]!.description).toContain("k3");
  });
});
