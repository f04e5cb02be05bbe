import { beforeEach, describe, expect, test } from "vitest";
import {
  allocate,
  countRight,
  created,
  createStream,
  download,
  emulator,
  emulatorFile,
  errors,
  numbers,
  ok,
  runtime,
  upload,
} from "./cuda.js";

process.env.SIGHTLINE_CUBLASLT = emulatorFile;
const lt = emulator.cublasLt();

const status = { success: 0, invalidValue: 7, executionFailed: 13, notSupported: 15 };
const types = { fp32: 0, bf16: 14 };
type Type = keyof typeof types;

interface Matrix {
  type: Type;
  rows: number;
  columns: number;
  ld: number;
  stride?: number;
}

interface Case {
  m: number;
  n: number;
  k: number;
  transposeA?: boolean;
  transposeB?: boolean;
  input?: Type;
  output?: Type;
  batch?: number;
  bias?: boolean;
  alpha?: number;
  beta?: number;
  /** Elements beyond the rows in every column. */
  spare?: number;
}

/** Rounds to bf16, to nearest even. */
function roundBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return new Float32Array(Uint32Array.of((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000).buffer)[0]!;
}
const round = (type: Type) => (type === "bf16" ? roundBf16 : Math.fround);

function encode(values: Float32Array, type: Type): NodeJS.TypedArray {
  if (type === "fp32") return values;
  return Uint16Array.from(
    new Uint32Array(values.buffer, values.byteOffset, values.length),
    (bits) => bits >>> 16,
  );
}

function decode(bytes: Float32Array, type: Type, count: number): Float32Array {
  if (type === "fp32") return bytes;
  const half = new Uint16Array(bytes.buffer, 0, count);
  return new Float32Array(Uint32Array.from(half, (bits) => bits * 65536).buffer);
}

const attribute = (set: (value: NodeJS.TypedArray) => number, value: NodeJS.TypedArray) =>
  expect(set(value)).toBe(0);

function layoutOf({ type, rows, columns, ld, stride }: Matrix, batch: number): bigint {
  const layout = created((out) =>
    lt.matrixLayoutCreate!(out, types[type], BigInt(rows), BigInt(columns), BigInt(ld)),
  );
  attribute((value) => lt.matrixLayoutSetAttribute!(layout, 5, value, 4), Int32Array.of(batch));
  attribute(
    (value) => lt.matrixLayoutSetAttribute!(layout, 6, value, 8),
    BigInt64Array.of(BigInt(stride ?? 0)),
  );
  return layout;
}

const handle = created((out) => lt.create!(out));

/** Everything a product needs, on the device, with numbers that bf16 can hold. */
function prepare(options: Case) {
  const {
    m,
    n,
    k,
    batch = 1,
    spare = 0,
    input = "bf16",
    output = "fp32",
    transposeA = false,
    transposeB = false,
  } = options;
  const shape = (type: Type, rows: number, columns: number, plane: number): Matrix => {
    const ld = rows + spare;
    return { type, rows, columns, ld, stride: ld * columns + plane };
  };
  // Strides in multiples of 16 bytes are not needed between the matrices of a batch.
  const a = transposeA ? shape(input, k, m, 3) : shape(input, m, k, 3);
  const b = transposeB ? shape(input, n, k, 1) : shape(input, k, n, 1);
  const c = shape(output, m, n, 2);
  const d = shape(output, m, n, 0);
  let state = 12345;
  const random = () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return roundBf16((state >>> 8) / 2 ** 23 - 1);
  };
  const fill = (matrix: Matrix) => numbers(batch * matrix.stride!, random);
  const values = { a: fill(a), b: fill(b), c: fill(c), bias: numbers(m, random) };
  const descriptor = created((out) => lt.matmulDescCreate!(out, 68, types.fp32));
  attribute(
    (value) => lt.matmulDescSetAttribute!(descriptor, 3, value, 4),
    Int32Array.of(Number(transposeA)),
  );
  attribute(
    (value) => lt.matmulDescSetAttribute!(descriptor, 4, value, 4),
    Int32Array.of(Number(transposeB)),
  );
  if (options.bias) {
    const pointer = upload(encode(values.bias, output));
    attribute((value) => lt.matmulDescSetAttribute!(descriptor, 7, value, 4), Uint32Array.of(4));
    attribute((value) => lt.matmulDescSetAttribute!(descriptor, 8, value, 8), BigUint64Array.of(pointer));
  }
  const preference = created((out) => lt.matmulPreferenceCreate!(out));
  return {
    matrices: { a, b, c, d },
    values,
    descriptor,
    preference,
    layouts: [a, b, c, d].map((matrix) => layoutOf(matrix, batch)) as [bigint, bigint, bigint, bigint],
    pointers: [
      upload(encode(values.a, input)),
      upload(encode(values.b, input)),
      upload(encode(values.c, output)),
      allocate(batch * d.stride! * (output === "bf16" ? 2 : 4)),
    ] as [bigint, bigint, bigint, bigint],
  };
}

type Prepared = ReturnType<typeof prepare>;

function heuristic({ descriptor, layouts, preference }: Prepared) {
  const result = new Uint8Array(64 + 8 + 4 + 4 + 16);
  const returned = new Int32Array(1);
  const error = lt.matmulAlgoGetHeuristic!(handle, descriptor, ...layouts, preference, 1, result, returned);
  return {
    error,
    algorithm: result.slice(0, 64),
    workspace: Number(new BigUint64Array(result.buffer, 64, 1)[0]),
    returned: returned[0],
  };
}

function multiply(
  prepared: Prepared,
  { alpha = 1, beta = 0 }: Partial<Case> = {},
  algorithm: Uint8Array | null = null,
  workspace: bigint | null = null,
  workspaceBytes = 0,
  stream: bigint | null = null,
): number {
  const { descriptor, pointers, layouts } = prepared;
  const scale = Float32Array.of(alpha);
  const error = lt.matmul!(
    handle,
    descriptor,
    scale,
    pointers[0],
    layouts[0],
    pointers[1],
    layouts[1],
    Float32Array.of(beta),
    pointers[2],
    layouts[2],
    pointers[3],
    layouts[3],
    algorithm,
    workspace,
    workspaceBytes,
    stream,
  );
  scale[0] = Number.NaN; // read when the call is made
  return error;
}

/** The formula in float64, rounded once. */
function reference({ values, matrices }: Prepared, options: Case): number[] {
  const { m, n, k, batch = 1, alpha = 1, beta = 0, output = "fp32" } = options;
  const { a, b, c } = matrices;
  const expected: number[] = [];
  for (let z = 0; z < batch; ++z)
    for (let column = 0; column < n; ++column)
      for (let row = 0; row < m; ++row) {
        let sum = 0;
        for (let p = 0; p < k; ++p) {
          const x = options.transposeA ? row * a.ld + p : p * a.ld + row;
          const y = options.transposeB ? p * b.ld + column : column * b.ld + p;
          sum += values.a[z * a.stride! + x]! * values.b[z * b.stride! + y]!;
        }
        sum = alpha * sum + (beta === 0 ? 0 : beta * values.c[z * c.stride! + column * c.ld + row]!);
        expected.push(round(output)(sum + (options.bias ? values.bias[row]! : 0)));
      }
  return expected;
}

/** D as computed, without what lies beyond its rows, which the host may not read. */
function result({ matrices, pointers }: Prepared, { m, n, batch = 1, output = "fp32" }: Case): number[] {
  const { d } = matrices;
  const bytes = output === "bf16" ? 2 : 4;
  const found: number[] = [];
  for (let z = 0; z < batch; ++z)
    for (let column = 0; column < n; ++column) {
      const host = new Float32Array(m);
      const from = pointers[3] + BigInt((z * d.stride! + column * d.ld) * bytes);
      ok(runtime.cudaMemcpy!(host, from, m * bytes, 2));
      found.push(...decode(host, output, m).slice(0, m));
    }
  return found;
}

beforeEach(() => emulator.configure({}));

describe("cublasLtMatmul", () => {
  const cases: Case[] = [
    { m: 1, n: 1, k: 1 },
    { m: 33, n: 5, k: 70 },
    { m: 64, n: 8, k: 16, input: "fp32" },
    { m: 40, n: 7, k: 19, transposeA: true, spare: 8 },
    { m: 40, n: 7, k: 19, transposeB: true, output: "bf16" },
    { m: 17, n: 9, k: 12, transposeA: true, transposeB: true, alpha: 0.5, beta: 2, spare: 3 },
    { m: 20, n: 6, k: 8, batch: 3, beta: 1, output: "bf16", spare: 5 },
    { m: 34, n: 4, k: 8, bias: true, output: "bf16" },
    { m: 34, n: 4, k: 8, bias: true, input: "fp32", alpha: -1, beta: 0.25 },
  ];
  test.each(cases)("is D = alpha op(A) op(B) + beta C + bias, column-major: %j", (options) => {
    const prepared = prepare(options);
    expect(multiply(prepared, options)).toBe(0);
    const found = result(prepared, options);
    const expected = reference(prepared, options);
    // fp32 sums of k products of numbers below 1, then one rounding to the output's type, which may fall to the other side.
    const unit = options.output === "bf16" ? 2 ** -8 : 0;
    for (let i = 0; i < expected.length; ++i) {
      const bound = 4 * options.k * options.k * 2 ** -24 + 2 * unit * Math.abs(expected[i]!) + 2 ** -22;
      expect(Math.abs(found[i]! - expected[i]!)).toBeLessThanOrEqual(bound);
    }
  });

  test("takes a matrix of stride 0 for a whole batch", () => {
    const options = { m: 4, n: 4, k: 4, batch: 2 };
    const prepared = prepare(options);
    prepared.layouts[0] = layoutOf({ ...prepared.matrices.a, stride: 0 }, 2);
    expect(multiply(prepared)).toBe(0);
    prepared.matrices.a.stride = 0;
    const found = result(prepared, options);
    reference(prepared, options).forEach((value, i) => {
      expect(found[i]).toBeCloseTo(value, 5);
    });
  });

  test("runs on its stream, whose end the program has to wait for", () => {
    const options = { m: 8, n: 8, k: 8 };
    const run = (waits: boolean) => () => {
      const [stream, other] = [createStream(), createStream()];
      const prepared = prepare(options);
      ok(runtime.cudaDeviceSynchronize!());
      expect(multiply(prepared, options, null, null, 0, stream)).toBe(0);
      if (waits) ok(runtime.cudaStreamSynchronize!(stream));
      ok(runtime.cudaMemsetAsync!(prepared.pointers[0], 0, 128, other));
      ok(runtime.cudaStreamSynchronize!(other));
      ok(runtime.cudaStreamSynchronize!(stream));
      return Number(Math.abs(result(prepared, options)[0]! - reference(prepared, options)[0]!) < 1e-4);
    };
    expect(countRight(30, {}, 1, run(true))).toBe(30);
    expect(countRight(30, {}, 1, run(false))).toBeLessThan(15);
  });

  test("works with the algorithm and workspace of the heuristic, and writes garbage to the workspace", () => {
    const options = { m: 16, n: 16, k: 16 };
    const prepared = prepare(options);
    attribute(
      (value) => lt.matmulPreferenceSetAttribute!(prepared.preference, 1, value, 8),
      BigUint64Array.of(4n << 20n),
    );
    const { error, algorithm, workspace, returned } = heuristic(prepared);
    expect([error, returned]).toEqual([0, 1]);
    expect(workspace).toBeGreaterThan(0);
    const memory = upload(new Float32Array(workspace / 4));
    expect(multiply(prepared, options, algorithm, memory, workspace - 1)).toBe(status.invalidValue);
    expect(multiply(prepared, options, algorithm, null, 0)).toBe(status.invalidValue);
    expect(multiply(prepared, options, algorithm, memory + 8n, workspace)).toBe(status.invalidValue);
    expect(multiply(prepared, options, algorithm, memory, workspace)).toBe(0);
    expect(result(prepared, options)[0]).toBeCloseTo(reference(prepared, options)[0]!, 5);
    expect(() => download(memory, workspace / 4)).toThrow(/uninitialised/);
  });
});

describe("cublasLtMatmul refuses", () => {
  const options = { m: 16, n: 8, k: 24 };
  const replaced = (index: number, change: Partial<Matrix>, batch = 1) => {
    const prepared = prepare(options);
    const matrix = Object.values(prepared.matrices)[index]!;
    prepared.layouts[index] = layoutOf({ ...matrix, ...change }, batch);
    return multiply(prepared);
  };

  test("layouts that do not fit together, with the reason", () => {
    expect(replaced(0, { columns: 23 })).toBe(status.invalidValue);
    expect(emulator.refusal()).toMatch(/op\(A\) has 23 columns, op\(B\) 24 rows/);
    expect(replaced(3, { rows: 15 })).toBe(status.invalidValue);
    expect(replaced(2, { columns: 9 })).toBe(status.invalidValue);
    expect(replaced(0, { ld: 15 })).toBe(status.invalidValue);
    expect(emulator.refusal()).toMatch(/A: leading dimension: expected at least the 16 rows, received 15/);
    expect(replaced(1, { rows: 0 })).toBe(status.invalidValue);
    expect(replaced(3, {}, 2)).toBe(status.invalidValue);
    expect(emulator.refusal()).toMatch(/batch/);
  });

  test("matrices of a batch that overlap in D", () => {
    const prepared = prepare({ ...options, batch: 2 });
    prepared.layouts[3] = layoutOf({ ...prepared.matrices.d, stride: 16 }, 2);
    expect(multiply(prepared)).toBe(status.invalidValue);
  });

  test("types that it has no kernels for", () => {
    expect(replaced(0, { type: "fp32" })).toBe(status.notSupported);
    expect(replaced(3, { type: "bf16" })).toBe(status.notSupported);
    const out = new BigUint64Array(1);
    expect(lt.matmulDescCreate!(out, 64, types.fp32)).toBe(status.notSupported);
    expect(lt.matrixLayoutCreate!(out, 2, 1n, 1n, 1n)).toBe(status.notSupported);
  });

  test("pointers that are null or less aligned than the algorithm was told", () => {
    const prepared = prepare(options);
    prepared.pointers[0] += 8n;
    expect(multiply(prepared)).toBe(status.notSupported);
    prepared.pointers[0] = 0n;
    expect(multiply(prepared)).toBe(status.invalidValue);

    const strict = prepare({ m: 16, n: 8, k: 20 });
    const { algorithm } = heuristic(strict);
    strict.pointers[0] = upload(new Uint16Array(16 * 20 + 3 + 8)) + 16n;
    expect(multiply(strict, {}, algorithm)).toBe(status.notSupported);
    expect(emulator.refusal()).toMatch(/pointer to A is no multiple of 256/);
    attribute(
      (value) => lt.matmulPreferenceSetAttribute!(strict.preference, 5, value, 4),
      Uint32Array.of(16),
    );
    expect(multiply(strict, {}, heuristic(strict).algorithm)).toBe(0);
  });

  test("an algorithm of another problem, or none", () => {
    const { algorithm } = heuristic(prepare({ m: 8, n: 8, k: 8 }));
    expect(multiply(prepare(options), {}, algorithm)).toBe(status.notSupported);
    expect(multiply(prepare(options), {}, new Uint8Array(64))).toBe(status.invalidValue);
  });

  test("a bias without its pointer, and attributes of a wrong size or value", () => {
    const prepared = prepare(options);
    attribute((value) => lt.matmulDescSetAttribute!(prepared.descriptor, 7, value, 4), Uint32Array.of(4));
    expect(multiply(prepared)).toBe(status.invalidValue);
    expect(emulator.refusal()).toMatch(/bias.*not set/);
    expect(lt.matmulDescSetAttribute!(prepared.descriptor, 3, Int32Array.of(1), 8)).toBe(status.invalidValue);
    expect(lt.matmulDescSetAttribute!(prepared.descriptor, 3, Int32Array.of(7), 4)).toBe(status.notSupported);
    expect(lt.matmulDescSetAttribute!(prepared.descriptor, 7, Uint32Array.of(32), 4)).toBe(
      status.notSupported,
    );
    expect(lt.matrixLayoutSetAttribute!(prepared.layouts[0], 1, Int32Array.of(1), 4)).toBe(
      status.notSupported,
    );
  });

  test("C in D's place with another layout", () => {
    const prepared = prepare(options);
    prepared.pointers[2] = prepared.pointers[3];
    prepared.layouts[2] = layoutOf({ ...prepared.matrices.c, ld: 20 }, 1);
    expect(multiply(prepared, { beta: 1 })).toBe(status.invalidValue);
  });
});

describe("cublasLtMatmul on the device", () => {
  const options = { m: 16, n: 8, k: 16 };

  test("finds matrices that run out of their allocation", () => {
    const prepared = prepare(options);
    ok(runtime.cudaDeviceSynchronize!());
    prepared.pointers[1] = upload(new Uint16Array(16 * 8 - 8));
    expect([0, status.executionFailed]).toContain(multiply(prepared)); // the latter when it runs at once
    expect(runtime.cudaDeviceSynchronize!()).toBe(errors.illegalAddress);
    expect(emulator.violation(0)).toMatch(/cublasLtMatmul.*B/);
  });

  test("finds operands that nobody wrote", () => {
    const prepared = prepare(options);
    prepared.pointers[0] = allocate(2 * (16 * 16 + 3));
    expect([0, status.executionFailed]).toContain(multiply(prepared));
    expect(runtime.cudaDeviceSynchronize!()).toBe(errors.launchFailure);
    expect(emulator.violation(0)).toMatch(/cublasLtMatmul: uninitialised: A/);
  });

  test("gives NaN where the result overlaps an operand", () => {
    const prepared = prepare({ ...options, input: "fp32" });
    prepared.pointers[3] = prepared.pointers[0];
    expect(multiply(prepared)).toBe(0);
    expect(result(prepared, options).every(Number.isNaN)).toBe(true);
  });
});
