/** What `matmul` promises about storage, to the bit. */
import { describe, expect, test } from "vitest";
import { deriveKey, Random } from "../../src/random.js";
import { expectSame } from "./conformance.js";
import { normals, unwritten } from "./inputs.js";
import { backends, type OpArguments } from "./native-ops.js";
import { bitsOf, roundStored, toBfloat16 } from "./storage.js";

const rounded = (x: Float32Array) => bitsOf(x.map(toBfloat16));

/** The arguments with these arrays, which hold numbers of 8 significant bits, as the bits of bfloat16. */
const stored = (names: readonly string[], args: OpArguments): OpArguments => ({
  ...args,
  ...Object.fromEntries(names.map((name) => [name, bitsOf(args[name] as Float32Array)])),
});

interface Shape {
  m: number;
  n: number;
  k: number;
  /** Whether A is transposed in memory. */
  columns?: boolean;
  /** What is added to the product: C itself, or a residual in fp32. */
  added?: "accumulate" | "addend";
}

function product({ m, n, k, columns, added }: Shape): OpArguments {
  const random = new Random(deriveKey(7));
  const args = {
    ...{ a: normals(random, m * k), a_row_stride: columns ? 1 : k, a_column_stride: columns ? m : 1 },
    ...{ b: normals(random, k * n), b_row_stride: n, b_column_stride: 1, packed_b: null },
    ...{ c: added === "accumulate" ? normals(random, m * n) : unwritten(m * n), c_row_stride: n },
    bias: added === "accumulate" ? null : normals(random, n),
    addend: added === "addend" ? normals(random, m * n) : null,
    addend_row_stride: n,
    ...{ m, n, k, alpha: Math.fround(0.7), accumulate: added === "accumulate", precision: "bf16" },
  };
  roundStored(["a", "b", "c"], args);
  return args;
}

// Up to 1024 elements are one block along the depth; 513 columns are more than wait for the next block at a time.
const shapes: Shape[] = [
  { m: 1, n: 70, k: 257 },
  { m: 25, n: 67, k: 1024, added: "addend" },
  { m: 26, n: 67, k: 2100, added: "addend" },
  { m: 125, n: 600, k: 1026, added: "accumulate" },
  { m: 3, n: 1100, k: 3073 },
  { m: 40, n: 50, k: 300, columns: true, added: "accumulate" },
  { m: 30, n: 70, k: 2049, columns: true, added: "accumulate" },
  { m: 30, n: 70, k: 1100, columns: true, added: "addend" },
];

describe.each(backends.map((backend) => [backend.name, backend] as const))("on %s", (_name, backend) => {
  test.each(shapes)("a C stored as bf16 is the fp32 C rounded once: $m x $n x $k, $added", (shape) => {
    const fp32 = product(shape);
    const bf16 = stored(["c"], product(shape));
    backend.run("matmul", fp32, 2);
    backend.run("matmul", bf16, 2);
    expectSame("c", bf16.c as Uint16Array, rounded(fp32.c as Float32Array));
  });

  test.each(shapes)("operands of 8 bits are the same in either form: $m x $n x $k, $added", (shape) => {
    const fp32 = product(shape);
    backend.run("matmul", fp32, 2);
    for (const names of [["a"], ["b"], ["a", "b"]]) {
      const args = stored(names, product(shape));
      backend.run("matmul", args, 2);
      expectSame(`c from ${names}`, args.c as Float32Array, fp32.c as Float32Array);
    }
  });

  test("a C that is larger than the caches is the same wherever it begins", () => {
    const args = product({ m: 1200, n: 2048, k: 2 });
    backend.run("matmul", args, 2);
    const expected = rounded(args.c as Float32Array);
    // One of these begins at a multiple of 64 bytes, where vectors can be stored past the caches.
    for (const offset of [0, 8, 16, 24]) {
      const c = new Uint16Array(expected.length + offset).subarray(offset);
      backend.run("matmul", { ...args, c }, 2);
      expect(
        Buffer.compare(Buffer.from(c.buffer, c.byteOffset, c.byteLength), Buffer.from(expected.buffer)),
      ).toBe(0);
    }
  });
});
