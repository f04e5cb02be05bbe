import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { freeRunFolder, RunFolder, type RunFolderErrorCode } from "../../src/train/run-folder.js";
import { temporaryFolder } from "./temporary-folder.js";

let parent: string;
beforeEach(() => {
  parent = temporaryFolder();
});

function expectError(code: RunFolderErrorCode, path: string, action: () => unknown): void {
  expect(action).toThrow(expect.objectContaining({ name: "RunFolderError", code }));
  expect(action).toThrow(path);
}

describe("RunFolder", () => {
  test("writes down configuration and versions, and reads the configuration back", () => {
    const path = join(parent, "runs", "first");
    const folder = RunFolder.create(path, { seed: 1, ppo: { betas: [0.9, 0.99] } }, { node: "v1" });
    expect(readdirSync(path).sort()).toEqual(["config.yaml", "versions.json"]);
    expect(folder.readConfig()).toEqual({ seed: 1, ppo: { betas: [0.9, 0.99] } });
    expect(RunFolder.open(path).readConfig()).toEqual(folder.readConfig());
    expect(folder.last).toBeUndefined();
  });

  test("takes an empty folder and refuses one that holds anything, without touching it", () => {
    RunFolder.create(parent, {}, {});
    const before = readdirSync(parent);
    expectError("RUN_FOLDER_NOT_EMPTY", parent, () => RunFolder.create(parent, { other: true }, {}));
    expectError("RUN_FOLDER_NOT_EMPTY", parent, () => RunFolder.requireFree(parent));
    expect(readdirSync(parent)).toEqual(before);
  });

  test("says that it cannot be written, and why", () => {
    const path = join(parent, "file");
    writeFileSync(path, "");
    expectError("RUN_FOLDER_UNWRITABLE", path, () => RunFolder.create(path, {}, {}));
    expectError("RUN_FOLDER_UNWRITABLE", path, () => RunFolder.create(join(path, "inside"), {}, {}));
  });

  test("opens nothing that is not the folder of an unfinished run", () => {
    expectError("RUN_FOLDER_INVALID", parent, () => RunFolder.open(parent));
    expectError("RUN_FOLDER_INVALID", "absent", () => RunFolder.open(join(parent, "absent")));
    const folder = RunFolder.create(parent, {}, {});
    writeFileSync(folder.file("summary.json"), "{}");
    expectError("RUN_FINISHED", parent, () => RunFolder.open(parent));
  });
});

describe("freeRunFolder", () => {
  test("numbers folders from the second on", () => {
    const base = join(parent, "number-line-seed1");
    expect(freeRunFolder(base)).toBe(base);
    mkdirSync(base);
    expect(freeRunFolder(base)).toBe(`${base}-2`);
    mkdirSync(`${base}-2`);
    expect(freeRunFolder(base)).toBe(`${base}-3`);
  });
});
