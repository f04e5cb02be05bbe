import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CheckpointError } from "../../src/models/checkpoint-error.js";
import { readWeightFiles } from "../../src/models/weight-files.js";
import { deriveKey, Random } from "../../src/random.js";
import { tensorOf, writeTensorFile } from "../io/tensor-file.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sightline-weights-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const two = tensorOf("F32", [2], new Float32Array(2));
const indexPath = () => join(folder, "model.safetensors.index.json");

function writeIndex(weightMap: unknown): void {
  writeFileSync(indexPath(), JSON.stringify({ metadata: { total_size: 1 }, weight_map: weightMap }));
}

/** What reading the folder rejects with. */
async function problem(): Promise<CheckpointError> {
  const error = await readWeightFiles(folder).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

describe("readWeightFiles", () => {
  test("reads one file", async () => {
    writeTensorFile(join(folder, "model.safetensors"), {
      b: two,
      a: tensorOf("I64", [], new BigInt64Array(1)),
    });
    const { tensors, files, index } = await readWeightFiles(folder);
    const file = join(folder, "model.safetensors");
    expect([...tensors.values()]).toEqual([
      { name: "a", dtype: "I64", shape: [], bytes: 8, file },
      { name: "b", dtype: "F32", shape: [2], bytes: 8, file },
    ]);
    expect(files).toEqual([{ path: file, metadata: [["format", "pt"]] }]);
    expect(index).toBeUndefined();
  });

  test("reads shards by their index, through links as well, and whatever its keys are called", async () => {
    mkdirSync(join(folder, "blobs"));
    writeTensorFile(join(folder, "blobs", "x"), { a: two });
    symlinkSync(join("blobs", "x"), join(folder, "one.safetensors"));
    writeTensorFile(join(folder, "two.safetensors"), { b: two, c: two });
    writeIndex({ a: "one.safetensors", b: "two.safetensors", c: "two.safetensors" });
    const { tensors } = await readWeightFiles(folder);
    expect([...tensors.values()].map(({ name, file }) => [name, file])).toEqual([
      ["a", join(folder, "one.safetensors")],
      ["b", join(folder, "two.safetensors")],
      ["c", join(folder, "two.safetensors")],
    ]);
  });

  test("throws FILE_MISSING where there is neither a file nor an index", async () => {
    const error = await problem();
    expect(error).toMatchObject({ code: "FILE_MISSING", path: join(folder, "model.safetensors") });
    expect(error.message).toContain("model.safetensors.index.json");
  });

  test.each([
    ["a path out of the folder", "../one.safetensors"],
    ["an absolute path", "/etc/one.safetensors"],
    ["a path into a folder", "deep/one.safetensors"],
    ["a Windows path", "..\\one.safetensors"],
    ["the index itself", "model.safetensors.index.json"],
    ["another kind of file", "pytorch_model.bin"],
    ["an empty name", ""],
    ["a zero character", "a\0.safetensors"],
  ])("refuses %s in the index", async (_, shard) => {
    writeIndex({ a: shard });
    const { code, message, path } = await problem();
    expect({ code, path }).toEqual({ code: "FILE_INVALID", path: indexPath() });
    expect(message).toContain(
      `weight_map: expected names of .safetensors files of this folder, received ${JSON.stringify(shard)}`,
    );
  });

  test("lists everything that is wrong with the index and the shards together", async () => {
    writeTensorFile(join(folder, "one.safetensors"), { a: two, shared: two });
    writeTensorFile(join(folder, "two.safetensors"), { b: two, shared: two });
    const whole = readFileSync(join(folder, "two.safetensors"));
    writeFileSync(join(folder, "cut.safetensors"), whole.subarray(0, whole.length - 1));
    symlinkSync("loop.safetensors", join(folder, "loop.safetensors"));
    mkdirSync(join(folder, "folder.safetensors"));
    writeIndex({
      a: "two.safetensors",
      b: "two.safetensors",
      shared: "one.safetensors",
      absent: "one.safetensors",
      gone: "gone.safetensors",
      x: "cut.safetensors",
      y: "loop.safetensors",
      z: "folder.safetensors",
    });
    const { code, message } = await problem();
    expect(code).toBe("FILE_INVALID");
    const lines = message.split("\n").slice(1);
    expect(lines).toHaveLength(7);
    for (const expected of [
      /^ {2}"shared" is in two files, one\.safetensors and two\.safetensors$/,
      /^ {2}weight_map: "a" is not in two\.safetensors$/,
      /^ {2}weight_map: "absent" is not in one\.safetensors$/,
      /gone\.safetensors: cannot open: No such file or directory$/,
      /cut\.safetensors: tensor ".+": data_offsets: expected 0 <= begin <= end <= 15/,
      /loop\.safetensors: cannot open: Too many levels of symbolic links$/,
      /folder\.safetensors: expected a regular file/,
    ]) {
      expect(
        lines.filter((line) => expected.test(line)),
        String(expected),
      ).toHaveLength(1);
    }
  });

  test.each([
    ["no JSON", "{", /expected JSON$/],
    ["no object", "[]", /expected object/],
    ["no map", "{}", /weight_map: expected the file of each tensor/],
    ["a map of numbers", '{"weight_map":{"a":1}}', /weight_map\.a: .*expected string/],
    [
      "deeply nested",
      `{"weight_map":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
      /weight_map|expected JSON/,
    ],
  ])("throws FILE_INVALID for an index with %s", async (_, text, message) => {
    writeFileSync(indexPath(), text);
    const error = await problem();
    expect(error.code).toBe("FILE_INVALID");
    expect(error.message).toMatch(message);
  });

  test("made of random mutations of an index, throws nothing but a CheckpointError", async () => {
    writeTensorFile(join(folder, "one.safetensors"), { a: two });
    writeTensorFile(join(folder, "two.safetensors"), { b: two });
    const text = JSON.stringify({ weight_map: { a: "one.safetensors", b: "two.safetensors" } });
    const pieces = [
      '"',
      "{",
      "}",
      ":",
      ",",
      "null",
      "1e9",
      "__proto__",
      "../",
      "\\u0000",
      "two.safetensors",
      "\ud800",
    ];
    const random = new Random(deriveKey(3));
    const counts = { read: 0, refused: 0 };
    for (let input = 0; input < 400; input++) {
      const at = random.integer(text.length);
      const cut = at + random.integer(6);
      writeFileSync(
        indexPath(),
        text.slice(0, at) + (random.integer(2) ? random.pick(pieces) : "") + text.slice(cut),
      );
      const error = await readWeightFiles(folder).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error !== undefined) expect(error, `input ${input}`).toBeInstanceOf(CheckpointError);
      counts[error === undefined ? "read" : "refused"]++;
    }
    expect(counts.read).toBeGreaterThan(5);
    expect(counts.refused).toBeGreaterThan(100);
  });
});
