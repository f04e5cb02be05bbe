import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runBench } from "../../bench/program.js";
import { parseResults } from "../../bench/results.js";
import { temporaryFolder } from "../train/temporary-folder.js";

async function bench(...args: string[]): Promise<string> {
  const lines: string[] = [];
  await runBench(args, (line) => lines.push(line));
  return lines.join("\n");
}

/** Measures with one repeat and without peers. @returns the output and what was written as JSON */
async function measure(json: string, ...args: string[]) {
  const output = await bench(...args, "--quick", "--no-peers", "--repeats", "1", "--json", json);
  return { output, ...parseResults(await readFile(json, "utf8"), json) };
}

describe("npm run bench", () => {
  test("measures a suite, writes JSON, and makes the page from it", async () => {
    const folder = temporaryFolder();
    const json = join(folder, "run.json");
    const { output, machine, rows } = await measure(json, "envs", "--threads", "1");
    expect(output).toMatch(/^peaks: \d+ GFLOP\/s fp32/m);
    expect(output).toContain("PyTorch: skipped, not asked for");
    expect(output).toMatch(/^envs\/number-line\/steps .* steps\/s/m);
    expect(machine).toMatchObject({ threads: 1, repeats: 1, quick: true });
    expect(rows.map(({ id, unit }) => [id, unit])).toEqual([
      ["envs/copy/given-back", "frames/s"],
      ["envs/copy/left", "frames/s"],
      ["envs/number-line/steps", "steps/s"],
      ["envs/number-line/steps/left", "steps/s"],
      ["envs/ez-points/steps", "steps/s"],
      ["envs/ez-points/steps/left", "steps/s"],
      ["envs/points24/steps", "steps/s"],
      ["envs/points24/steps/left", "steps/s"],
      ["envs/blackjack/steps", "steps/s"],
      ["envs/blackjack/steps/left", "steps/s"],
      ["envs/number-line/frames", "frames/s"],
    ]);
    for (const row of rows) expect(row).toMatchObject({ value: expect.any(Number), peer: null, note: null });

    expect(await bench("report", json)).toContain("run.md");
    expect(await readFile(join(folder, "run.md"), "utf8")).toContain("| envs/number-line/frames |");
  });

  test("checks ops before it times them, and counts their work", async () => {
    const json = join(temporaryFolder(), "ops.json");
    const only =
      "^ops/(matmul/training/fp32/3072x128x512|attention.*/vision|attention-decode/decoder-7m|rms-norm.*/3072x256|linear-log-prob.*/decoder-7m/fp32)";
    const { rows } = await measure(json, "ops", "--only", only);
    expect(rows.map(({ id, note }) => [id, note])).toEqual([
      ["ops/matmul/training/fp32/3072x128x512", null],
      ["ops/attention/vision", null],
      ["ops/attention-backward/vision", null],
      ["ops/attention-decode/decoder-7m", null],
      ["ops/rms-norm/3072x256", null],
      ["ops/rms-norm-backward/3072x256", null],
      ["ops/linear-log-prob/decoder-7m/fp32", null],
      ["ops/linear-log-prob-backward/decoder-7m/fp32", null],
    ]);
    for (const { gigabytesPerSecond, percentOfPeak } of rows) {
      expect(gigabytesPerSecond).toBeGreaterThan(0);
      expect(percentOfPeak).toBeGreaterThan(0);
    }
  });

  test("measures the engine on the models, with the work that was counted", async () => {
    const json = join(temporaryFolder(), "engine.json");
    const only = "^(engine/decode/decoder-7m/batch-8/fp32|train-step/tiny-vlm/fp32)";
    const decode = (await measure(json, "engine", "--only", only)).rows;
    const step = (await measure(json, "train-step", "--only", only)).rows;
    expect([...decode, ...step].map(({ id, note }) => [id, note])).toEqual([
      ["engine/decode/decoder-7m/batch-8/fp32", null],
      ["train-step/tiny-vlm/fp32", null],
      ["train-step/tiny-vlm/fp32/peak-memory", null],
    ]);
    expect(step[0]!.gflopsPerSecond! * step[0]!.value!).toBeCloseTo(15, -1);
  });

  test("refuses options out of range, and files that are no results", async () => {
    await expect(bench("envs", "--repeats", "0")).rejects.toThrow("expected an integer >= 1");
    await expect(bench("envs", "--only", "(")).rejects.toThrow("expected a regular expression");
    const other = join(temporaryFolder(), "other.json");
    await writeFile(other, "[]");
    await expect(bench("report", other)).rejects.toThrow("expected the JSON that --json writes");
  });
});
