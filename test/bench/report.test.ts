import { describe, expect, test } from "vitest";
import { resultsPage } from "../../bench/report.js";
import { parseResults, type Results, ratioOf, row } from "../../bench/results.js";
import { judge, type Target } from "../../bench/targets.js";

const results: Results = {
  machine: {
    cpuModel: "A processor",
    cores: 2,
    memoryGb: 24,
    platform: "linux 6 x64",
    cpuPath: "avx512",
    threads: 2,
    node: "v20.0.0",
    commit: "0123456789abcdef",
    dirty: true,
    date: "2026-01-02T03:04:05.000Z",
    loadAverage: 0.1,
    busyBefore: 0.01,
    busyAfter: 0.5,
    peaks: { fp32GflopsPerSecond: 234.4, bf16GflopsPerSecond: null, readGigabytesPerSecond: 25.27 },
    repeats: 5,
    quick: false,
    peers: ["PyTorch 2.13.0, 2 threads", "llama.cpp: skipped, it is not there"],
  },
  rows: [
    row({
      ...{ id: "train-step/decoder-7m/fp32", unit: "s", value: 0.75, spread: 0.02, gflopsPerSecond: 168.4 },
      ...{ percentOfPeak: 71.8, peer: "PyTorch eager fp32", peerValue: 0.9, peerSpread: 0.1, ratio: 1.2 },
    }),
    row({
      ...{ id: "train-step/decoder-7m/fp32", unit: "s", value: 0.75, spread: 0.02, percentOfPeak: 71.8 },
      ...{ peer: "PyTorch compile fp32", note: "unsupported: a | b" },
    }),
    row({ id: "envs/number-line/steps", unit: "steps/s", value: 12345.6 }),
    row({ id: "train-step/decoder-7m/fp32/peak-memory", unit: "bytes", value: 3 * 2 ** 20 }),
  ],
};

describe("results", () => {
  test("survive JSON", () => {
    expect(parseResults(JSON.stringify(results), "a.json")).toEqual(results);
  });

  test("that are broken are refused with the place", () => {
    expect(() => parseResults("{", "a.json")).toThrow("a.json: expected the JSON that --json writes");
    const rows = [{ ...results.rows[0], unit: "parsecs", ratio: -1 }];
    const broken = JSON.stringify({ ...results, rows });
    expect(() => parseResults(broken, "a.json")).toThrow(/rows\[0\]\.unit(.|\n)*rows\[0\]\.ratio/);
    expect(() => parseResults(JSON.stringify({ ...results, extra: 1 }), "a.json")).toThrow("extra");
  });

  test("have ratios above 1 where ours is better", () => {
    expect(ratioOf("s", 1, 2)).toBe(2);
    expect(ratioOf("bytes", 1, 2)).toBe(2);
    expect(ratioOf("GFLOP/s", 2, 1)).toBe(2);
    expect(ratioOf("tokens/s", 2, 1)).toBe(2);
  });
});

describe("a target", () => {
  const rows = [
    row({ id: "ops/a/1", unit: "s", value: 10, peer: "X fp32", ratio: 4 }),
    row({ id: "ops/a/2", unit: "s", value: 20, peer: "X fp32", ratio: 1 }),
    row({ id: "ops/a/2", unit: "s", value: 20, peer: "Y fp32", ratio: 0.1 }),
    row({ id: "ops/a/3", unit: "s", peer: "X fp32", note: "died" }),
  ];
  const target: Target = {
    title: "t",
    rows: /^ops\/a/,
    peer: /^X/,
    figure: "ratio",
    over: "every row",
    atLeast: 2,
  };
  const judged = (fields: Partial<Target>) => judge({ ...target, ...fields }, { ...results, rows });

  test("over every row is decided by the weakest that was measured", () => {
    expect(judged({})).toMatchObject({ reached: 1, met: false, missedBy: 0.5, row: { id: "ops/a/2" } });
  });

  test("over the geometric mean counts all that were measured", () => {
    expect(judged({ over: "geometric mean" })).toMatchObject({
      reached: 2,
      met: true,
      missedBy: 0,
      row: null,
    });
  });

  test("may be an upper bound, and then the largest figure decides", () => {
    const { atLeast, ...rest } = target;
    const bound = { ...rest, figure: "value", atMost: 10 } as const;
    expect(judge(bound, { ...results, rows })).toMatchObject({ reached: 20, met: false, missedBy: 1 });
  });

  test("without a measured row is neither met nor missed", () => {
    expect(judged({ rows: /^none/ })).toMatchObject({ reached: null, met: false, missedBy: 0 });
  });
});

describe("the results page", () => {
  const page = resultsPage(results, "run.json");

  test("says what it was made from, on what, and how quiet that was", () => {
    expect(page).toContain("`npm run bench -- report run.json`");
    expect(page).toContain("| processor | A processor, 2 cores, 24 GiB |");
    expect(page).toContain("0123456789ab with uncommitted changes");
    expect(page).toContain("234 GFLOP/s fp32, 25.3 GB/s read from memory");
    expect(page).toContain("**Not a quiet machine:** other work kept 50 % of the cores busy");
    expect(page).toContain("llama.cpp: skipped, it is not there");
  });

  test("has a row per measurement and peer in its suite's table", () => {
    expect(page).toContain(
      "| train-step/decoder-7m/fp32 | 750 ms | 2 % | 168 |  | 72 | PyTorch eager fp32 | 900 ms | 10 % | 1.20 |  |",
    );
    expect(page).toContain("| PyTorch compile fp32 |  |  |  | unsupported: a \\| b |");
    expect(page).toContain("| envs/number-line/steps | 12346 steps/s |");
    expect(page).toContain("| 3 MiB |");
    expect(page.indexOf("## Training step")).toBeLessThan(page.indexOf("## Environments"));
  });

  test("says of each target whether it is met, or by how much it is missed", () => {
    expect(page).toContain(
      "| Training step, decoder-7m, fp32: 70 % of the fp32 peak | >= 70 % | 72 % | yes |",
    );
    expect(page).toContain(
      "| Training step, decoder-7m, fp32: 1.4x eager fp32 | >= 1.4x | 1.2x | no, by 14 % |",
    );
    expect(page).toContain(
      "| Training step, decoder-7m, bf16: 2.5x eager fp32 | >= 2.5x | not measured | - |",
    );
    expect(page).toContain(
      "- Training step, decoder-7m, fp32: 1.4x eager fp32: missed by 14 % " +
        "(`train-step/decoder-7m/fp32` against PyTorch eager fp32). Three quarters of the step are products",
    );
  });
});
