import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testingAddonFile } from "../testing-addon.js";
import { fileBytes, floats, native } from "./native-safetensors.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sightline-safetensors-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function newFile(contents?: Uint8Array): string {
  const file = path.join(mkdtempSync(path.join(folder, "case-")), "model.safetensors");
  if (contents) writeFileSync(file, contents);
  return file;
}

function failureOf(action: () => unknown): { code: unknown; message: string } {
  try {
    action();
  } catch (error) {
    if (error instanceof Error && "code" in error) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("expected a failure, received none");
}

const bytesOf = (array: ArrayBufferView) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

describe("safetensors", () => {
  test("a written file gives back every bit, name, shape and metadata string", () => {
    const file = newFile();
    const odd = new Float32Array([0, -0, 1 / 3, 1.4e-45, -3.4028234663852886e38, Infinity, -Infinity, NaN]);
    const tensors = [
      { name: "z.weight", shape: [2, 4], data: odd },
      { name: 'quote " backslash \\ newline \n bell \u0007 é 漢 🂡', shape: [1], data: new Float32Array([7]) },
      { name: "empty", shape: [3, 0, 2], data: new Float32Array(0) },
      { name: "scalar", shape: [], data: new Float32Array([-2.5]) },
    ];
    const metadata = { format: "pt", "läng\tst": 'a "b"\\' };
    native.writeSafetensors(file, tensors, metadata);

    const description = native.openSafetensors(file);
    expect(description.metadata).toEqual(metadata);
    const byName = (a: { name: string }, b: { name: string }) =>
      Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));
    expect(description.tensors).toEqual(
      tensors.map(({ name, shape }) => ({ name, dtype: "F32", shape })).sort(byName),
    );
    for (const { name, data } of tensors) {
      expect(bytesOf(native.readSafetensor(file, name, data.length))).toEqual(bytesOf(data));
    }
  });

  test("a written file keeps the format's rules: little-endian length, aligned data, nothing after it", () => {
    const file = newFile();
    const data = new Float32Array([1, 2, 3]);
    native.writeSafetensors(file, [{ name: "w", shape: [3], data }], { format: "pt" });
    const bytes = readFileSync(file);
    const headerBytes = Number(bytes.readBigUInt64LE(0));
    expect(headerBytes % 8).toBe(0);
    expect(JSON.parse(bytes.toString("utf8", 8, 8 + headerBytes))).toEqual({
      __metadata__: { format: "pt" },
      w: floats(0, 3),
    });
    expect(bytes.subarray(8 + headerBytes)).toEqual(bytesOf(data));
  });

  test("no tensors at all is a file", () => {
    const file = newFile();
    native.writeSafetensors(file, [], {});
    expect(native.openSafetensors(file)).toEqual({ tensors: [], metadata: {} });
  });

  test("F16 converts exactly: every one of the 65,536 values", () => {
    const file = newFile(everyHalf("F16"));
    const expected = Float32Array.from({ length: 65_536 }, (_, bits) => {
      const sign = bits & 0x8000 ? -1 : 1;
      const exponent = (bits >> 10) & 31;
      const mantissa = bits & 1023;
      if (exponent === 31) return mantissa ? NaN : sign * Infinity;
      return exponent === 0
        ? sign * mantissa * 2 ** -24
        : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
    });
    expectSameFloats(native.readSafetensor(file, "w", 65_536), expected);
  });

  test("BF16 converts exactly: every one of the 65,536 values", () => {
    const file = newFile(everyHalf("BF16"));
    const expected = new Float32Array(Uint32Array.from({ length: 65_536 }, (_, bits) => bits << 16).buffer);
    expectSameFloats(native.readSafetensor(file, "w", 65_536), expected);
  });

  test("F64 rounds to nearest, and data may start at any byte", () => {
    const values = new Float64Array([1 / 3, -1e-300, 2 ** 24 + 1, 5]);
    const header = { w: { dtype: "F64", shape: [2, 2], data_offsets: [0, 32] } };
    for (const padding of ["", " ", "   ", "       "]) {
      const file = newFile(fileBytes(JSON.stringify(header) + padding, bytesOf(values)));
      expectSameFloats(native.readSafetensor(file, "w", 4), Float32Array.from(values));
    }
  });

  test("tensors are found by name wherever their bytes stand", () => {
    const data = new Float32Array([1, 2, 3, 4, 5, 6]);
    const header = { c: floats(0, 1), a: floats(4, 2), nothing: floats(12, 0), b: floats(12, 3) };
    const file = newFile(fileBytes(header, bytesOf(data)));
    expect(native.readSafetensor(file, "c", 1)).toEqual(new Float32Array([1]));
    expect(native.readSafetensor(file, "a", 2)).toEqual(new Float32Array([2, 3]));
    expect(native.readSafetensor(file, "b", 3)).toEqual(new Float32Array([4, 5, 6]));
    expect(native.readSafetensor(file, "nothing", 0)).toEqual(new Float32Array(0));
  });

  test("escapes in a header mean what JSON says", () => {
    const json = String.raw`{"\u00e9\ud83c\udca1\/\"\\\b\f\n\r\t":{"shape":[ ],"dtype":"BOOL","data_offsets":[0 , 1]} }`;
    expect(native.parseSafetensors(fileBytes(json, new Uint8Array(1))).tensors).toEqual([
      { name: 'é🂡/"\\\b\f\n\r\t', dtype: "BOOL", shape: [] },
    ]);
  });

  test("a tensor that is missing, of another size, or not of floats is named", () => {
    const header = { ids: { dtype: "I64", shape: [1], data_offsets: [0, 8] }, w: floats(8, 2) };
    const file = newFile(fileBytes(header, new Uint8Array(16)));
    expect(failureOf(() => native.readSafetensor(file, "v", 2))).toEqual({
      code: "FORMAT",
      message: `${file}: expected a tensor "v", received a file without it`,
    });
    expect(failureOf(() => native.readSafetensor(file, "w", 3))).toEqual({
      code: "FORMAT",
      message: `${file}: tensor "w": expected 3 elements, received 2`,
    });
    expect(failureOf(() => native.readSafetensor(file, "ids", 1))).toEqual({
      code: "FORMAT",
      message: `${file}: tensor "ids": expected dtype F32, F64, F16 or BF16, received I64`,
    });
  });

  test("a file that cannot be opened, or is none, is an IO error that names it", () => {
    const missing = path.join(folder, "missing.safetensors");
    expect(failureOf(() => native.openSafetensors(missing))).toEqual({
      code: "IO",
      message: `${missing}: cannot open: No such file or directory`,
    });
    expect(failureOf(() => native.openSafetensors(folder))).toEqual({
      code: "IO",
      message: `${folder}: expected a regular file, received another kind of file`,
    });
    const pipe = path.join(folder, "pipe");
    spawnSync("mkfifo", [pipe]);
    expect(failureOf(() => native.openSafetensors(pipe)).code).toBe("IO");
  });
});

function everyHalf(dtype: string): Buffer {
  const halves = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
  return fileBytes({ w: { dtype, shape: [256, 256], data_offsets: [0, 131_072] } }, bytesOf(halves));
}

function expectSameFloats(received: Float32Array, expected: Float32Array): void {
  expect(received.length).toBe(expected.length);
  const differing = received.findIndex((value, i) => !Object.is(value, expected[i]));
  expect(differing, `element ${differing}`).toBe(-1);
}

describe("writing safetensors", () => {
  const one = new Float32Array([1]);

  test("replaces a file as a whole and leaves no temporary file", () => {
    const file = newFile(Buffer.from("something else"));
    native.writeSafetensors(file, [{ name: "w", shape: [1], data: one }], {});
    expect(native.readSafetensor(file, "w", 1)).toEqual(one);
    expect(readdirSync(path.dirname(file))).toEqual(["model.safetensors"]);
  });

  test("replaces a symbolic link, not what it points to", () => {
    const target = newFile(Buffer.from("kept"));
    const link = path.join(path.dirname(target), "link");
    symlinkSync(target, link);
    native.writeSafetensors(link, [], {});
    expect(readFileSync(target, "utf8")).toBe("kept");
    expect(native.openSafetensors(link).tensors).toEqual([]);
  });

  test.each<[string, Parameters<typeof native.writeSafetensors>[1], RegExp]>([
    [
      "a name twice",
      [
        { name: "w", shape: [1], data: one },
        { name: "w", shape: [1], data: one },
      ],
      /tensor "w": expected a name of its own, received one that is taken/,
    ],
    ["the reserved name", [{ name: "__metadata__", shape: [1], data: one }], /expected a name of its own/],
    [
      "a name that is not UTF-8",
      [{ name: Buffer.from([0x61, 0xff]), shape: [1], data: one }],
      /tensor name: expected UTF-8/,
    ],
    ["a negative size", [{ name: "w", shape: [-1], data: one }], /shape: expected sizes >= 0, received -1/],
    [
      "too many bytes",
      [{ name: "w", shape: [2 ** 40, 2 ** 40], data: one }],
      /expected less than 2\^63 bytes/,
    ],
  ])("refuses %s before it touches the disk", (_, tensors, message) => {
    const file = newFile(Buffer.from("before"));
    const failure = failureOf(() => native.writeSafetensors(file, tensors, {}));
    expect(failure.code).toBe("INVALID_ARGUMENT");
    expect(failure.message).toMatch(message);
    expect(readFileSync(file, "utf8")).toBe("before");
    expect(readdirSync(path.dirname(file))).toEqual(["model.safetensors"]);
  });

  test("a header too long for any reader is refused", () => {
    const failure = failureOf(() =>
      native.writeSafetensors(newFile(), [], { long: "x".repeat(100_000_001) }),
    );
    expect(failure.code).toBe("INVALID_ARGUMENT");
    expect(failure.message).toMatch(/expected a header of at most 100000000 bytes/);
  });

  test("a folder that does not exist is an IO error", () => {
    const file = path.join(folder, "nowhere", "model.safetensors");
    const failure = failureOf(() => native.writeSafetensors(file, [], {}));
    expect(failure.code).toBe("IO");
    expect(failure.message).toMatch(/nowhere.*: cannot create: No such file or directory/);
  });

  test.skipIf(process.getuid?.() === 0)("a folder without write permission is an IO error", () => {
    const locked = path.join(folder, "locked");
    mkdirSync(locked);
    chmodSync(locked, 0o500);
    const failure = failureOf(() => native.writeSafetensors(path.join(locked, "m.safetensors"), [], {}));
    expect(failure.code).toBe("IO");
    expect(failure.message).toMatch(/cannot create: Permission denied/);
  });

  test("a target that is a folder is an IO error and leaves no temporary file", () => {
    const target = path.join(folder, "target");
    mkdirSync(path.join(target, "occupied"), { recursive: true });
    expect(failureOf(() => native.writeSafetensors(target, [], {})).code).toBe("IO");
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("a disk that fills up in the middle is an IO error and leaves the old file alone", () => {
    const file = newFile(Buffer.from("before"));
    const program = `
      const native = require(${JSON.stringify(testingAddonFile)});
      const data = new Float32Array(1 << 20);
      try {
        native.writeSafetensors(${JSON.stringify(file)}, [{ name: "w", shape: [1 << 20], data }], {});
      } catch (error) {
        console.log(error.code, error.message);
      }`;
    // A limit on the size of files stands in for the full disk: writing fails at the same place.
    const limited = `trap '' XFSZ; ulimit -f 64; exec "$0" -e "$1"`;
    const child = spawnSync("bash", ["-c", limited, process.execPath, program], { encoding: "utf8" });
    expect(child.stderr).toBe("");
    expect(child.stdout).toMatch(/^IO .*: cannot write: File too large\n$/);
    expect(readFileSync(file, "utf8")).toBe("before");
    expect(readdirSync(path.dirname(file))).toEqual(["model.safetensors"]);
  });
});
