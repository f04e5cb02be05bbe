import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { copyTensors, readTensorList } from "../../src/native/tensor-files.js";
import { deriveKey, Random } from "../../src/random.js";
import {
  floatsOf,
  readTensorFile,
  tensorOf,
  toBfloat16,
  toHalf,
  writeTensorFile,
} from "../io/tensor-file.js";
import { expectFailure } from "./tiny-engine.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sightline-tensors-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = (name: string) => join(folder, `${name}.safetensors`);
const random = new Random(deriveKey(11));
const uniform = (count: number) =>
  Float32Array.from({ length: count }, () => random.integer(2 ** 20) / 2 ** 19 - 1);

describe("readTensorList", () => {
  test("gives what the header says", async () => {
    writeTensorFile(
      file("a"),
      { w: tensorOf("BF16", [2, 3], new Uint16Array(6)), i: tensorOf("I64", [], new BigInt64Array(1)) },
      { format: "pt", __proto__x: "y" },
    );
    expect(await readTensorList(file("a"))).toEqual({
      tensors: [
        { name: "i", dtype: "I64", shape: [], bytes: 8 },
        { name: "w", dtype: "BF16", shape: [2, 3], bytes: 12 },
      ],
      metadata: [
        ["__proto__x", "y"],
        ["format", "pt"],
      ],
    });
  });

  test("rejects with IO and FORMAT", async () => {
    await expectFailure(readTensorList(file("absent")), "IO", /cannot open/);
    writeFileSync(file("short"), "1234567");
    await expectFailure(readTensorList(file("short")), "FORMAT", /expected at least 8 bytes, received 7/);
    await expectFailure(readTensorList("\0"), "INVALID_ARGUMENT", /file: expected the path of a file/);
  });
});

describe("copyTensors", () => {
  test("copies bytes of any type, from several files, in the order asked for", async () => {
    const bytes = (count: number) => Uint8Array.from({ length: count }, () => random.integer(256));
    const first = {
      a: tensorOf("F16", [3], bytes(6)),
      b: tensorOf("I64", [2, 1], bytes(16)),
      empty: tensorOf("F32", [0, 2], bytes(0)),
    };
    const second = { c: tensorOf("F8_E4M3", [5], bytes(5)), d: tensorOf("BOOL", [], bytes(1)) };
    writeTensorFile(file("first"), first);
    writeTensorFile(file("second"), second);
    await copyTensors({
      file: file("out"),
      tensors: [
        { name: "d", source: { file: file("second"), name: "d" } },
        { name: "renamed", source: { file: file("first"), name: "b" } },
        { name: "a", source: { file: file("first"), name: "a" } },
        { name: "empty", source: { file: file("first"), name: "empty" } },
        { name: "c", source: { file: file("second"), name: "c" } },
      ],
      metadata: [["format", "pt"]],
    });
    const { a, b, empty } = first;
    expect([...readTensorFile(file("out"))]).toEqual(
      Object.entries({ d: second.d, renamed: b, a, empty, c: second.c }),
    );
    expect((await readTensorList(file("out"))).metadata).toEqual([["format", "pt"]]);
  });

  test.each([
    ["F16", toHalf],
    ["BF16", toBfloat16],
  ] as const)("rounds to %s", async (type, round) => {
    const values = Float32Array.of(
      1e-8,
      3e-5,
      1 / 3,
      65_519,
      65_520,
      -1.00390625,
      1.01171875,
      0,
      -0,
      5.9604645e-8,
      8.94e-8,
      1e30,
    );
    writeTensorFile(file("a"), { w: tensorOf("F32", [values.length], values) });
    const tensors = [{ name: "w", source: { file: file("a"), name: "w" }, type }];
    await copyTensors({ file: file("narrow"), tensors, metadata: [] });
    expect(readTensorFile(file("narrow")).get("w")!.dtype).toBe(type);
    const back = [{ name: "w", source: { file: file("narrow"), name: "w" }, type: "F32" as const }];
    await copyTensors({ file: file("wide"), tensors: back, metadata: [] });
    expect([...floatsOf(readTensorFile(file("wide")).get("w")!)]).toEqual([...values].map(round));
  });

  test.each([
    ["F32", [37, 53], 5],
    ["BF16", [64, 1], 1],
    ["F16", [1, 129], 8],
    ["BF16", [1030, 4100], 2],
  ] as const)("adds scale B A to a matrix of %s %j with rank %i", async (dtype, [outputs, inputs], rank) => {
    const [w, a, b] = [uniform(outputs * inputs), uniform(rank * inputs), uniform(outputs * rank)];
    const round = dtype === "F32" ? (x: number) => x : dtype === "BF16" ? toBfloat16 : toHalf;
    const scale = 0.75;
    writeTensorFile(file("wide"), { w: tensorOf("F32", [outputs, inputs], w) });
    const type = dtype === "F32" ? {} : { type: dtype };
    await copyTensors({
      file: file("base"),
      tensors: [{ name: "w", source: { file: file("wide"), name: "w" }, ...type }],
      metadata: [],
    });
    writeTensorFile(file("adapter"), {
      a: tensorOf("F32", [rank, inputs], a),
      b: tensorOf("F32", [outputs, rank], b),
    });
    const update = {
      a: { file: file("adapter"), name: "a" },
      b: { file: file("adapter"), name: "b" },
      scale,
    };
    const source = { file: file("base"), name: "w" };
    await copyTensors({ file: file("merged"), tensors: [{ name: "w", source, update }], metadata: [] });
    expect(readTensorFile(file("merged")).get("w")).toMatchObject({ dtype, shape: [outputs, inputs] });
    const back = [{ name: "w", source: { file: file("merged"), name: "w" }, type: "F32" as const }];
    await copyTensors({ file: file("back"), tensors: back, metadata: [] });
    const received = floatsOf(readTensorFile(file("back")).get("w")!);
    // Each of rank + 2 roundings to fp32 errs by at most half a unit of the largest sum, then one to the type.
    const largest = 1 + scale * rank;
    const unit = dtype === "F32" ? 0 : dtype === "BF16" ? 2 ** -8 : 2 ** -11;
    const bound = (rank + 2) * largest * 2 ** -24;
    let differing = 0;
    // More than one piece is many elements; some of each say enough.
    for (let i = 0; i < received.length; i += received.length > 1e5 ? 97 : 1) {
      const [row, column] = [Math.floor(i / inputs), i % inputs];
      let exact = 0;
      for (let k = 0; k < rank; k++) exact += b[row * rank + k]! * a[k * inputs + column]!;
      exact = round(w[i]!) + scale * exact;
      if (!(Math.abs(received[i]! - exact) <= bound + unit * Math.abs(exact) * (1 + 2 ** -10) + 2 ** -25))
        differing++;
    }
    expect(differing).toBe(0);
  });

  test("lists what cannot be copied, and leaves the file that was there", async () => {
    writeTensorFile(file("a"), {
      w: tensorOf("F32", [2, 3], new Float32Array(6)),
      cube: tensorOf("F32", [2, 3, 1], new Float32Array(6)),
      ids: tensorOf("I64", [2, 3], new BigInt64Array(6)),
      double: tensorOf("F64", [2, 3], new Float64Array(6)),
      a: tensorOf("F32", [1, 3], new Float32Array(3)),
      b: tensorOf("F32", [2, 1], new Float32Array(2)),
    });
    writeFileSync(file("out"), "before");
    const source = (name: string) => ({ file: file("a"), name });
    const update = { a: source("a"), b: source("b"), scale: 1 };
    const copy = copyTensors({
      file: file("out"),
      tensors: [
        { name: "1", source: source("absent") },
        { name: "2", source: source("cube"), update },
        { name: "3", source: source("ids"), update },
        { name: "4", source: source("double"), update },
        { name: "5", source: source("w"), update: { ...update, a: source("b") } },
        { name: "6", source: source("ids"), type: "F16" },
      ],
      metadata: [],
    });
    const error = (await copy.catch((reason: unknown) => reason)) as Error;
    expect(error).toMatchObject({ code: "FORMAT" });
    expect(error.message.split("\n")).toEqual([
      `${file("out")}: cannot be made:`,
      `  missing: "absent" in ${file("a")}`,
      '  misshaped: "cube" is (2, 3, 1), "a" is (1, 3), "b" is (2, 1); expected (out, in), (r, in) and (out, r)',
      '  not of floats: "ids" is I64',
      '  not to be updated: "double" is F64, expected F32, F16 or BF16',
      '  misshaped: "w" is (2, 3), "b" is (2, 1), "b" is (2, 1); expected (out, in), (r, in) and (out, r)',
      '  not of floats: "ids" is I64',
    ]);
    expect(readFileSync(file("out"), "utf8")).toBe("before");
    const twice = [0, 1].map(() => ({ name: "w", source: source("w") }));
    await expectFailure(
      copyTensors({ file: file("new"), tensors: twice, metadata: [] }),
      "INVALID_ARGUMENT",
      /name of its own/,
    );
    expect(existsSync(file("new"))).toBe(false);
  });
});
