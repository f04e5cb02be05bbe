import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";

const root = path.resolve(import.meta.dirname, "..");
const example = path.join(root, "examples/number-line.mjs");
const folder = mkdtempSync(path.join(tmpdir(), "sightline-example-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the program in the README", () => {
  test("is the example, word for word", () => {
    expect(readFileSync(path.join(root, "README.md"), "utf8")).toContain(readFileSync(example, "utf8"));
  });

  test("trains, prints each update, and leaves a checkpoint", () => {
    const run = spawnSync(process.execPath, [example, "1"], { cwd: folder, encoding: "utf8" });
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
    expect(run.stdout).toMatch(/^update 1: [\d.]+ % of episodes solved, [\d.]+ % of moves right\n/);
    expect(run.stdout).toContain('"action":');
    expect(readdirSync(path.join(folder, "number-line-policy"))).toContain("model.safetensors");
  });
});
