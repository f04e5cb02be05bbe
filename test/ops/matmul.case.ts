import type { Precision } from "../../src/native/types.js";
import type { Random } from "../../src/random.js";
import { type Conformance, conformance, type Equivalent, type Rounding } from "./conformance.js";
import { type Floats, normals, unwritten } from "./inputs.js";
import type { Backend } from "./native-ops.js";
import { bitsOf, roundStored, toBfloat16 } from "./storage.js";

/** Order of A and B in memory: rows one after the other, or columns (a transposed matrix). */
type Layout = "rows" | "columns";

interface Shape {
  m: number;
  n: number;
  k: number;
  a?: Layout;
  b?: Layout;
  packed?: boolean;
  bias?: boolean;
  addend?: boolean;
  accumulate?: boolean;
  alpha?: number;
  /** Floats between the rows of C that the op must leave alone. */
  padding?: number;
  /** Default fp32. */
  precision?: Precision;
}

type Args = {
  a: Float32Array;
  a_row_stride: number;
  a_column_stride: number;
  b: Float32Array;
  b_row_stride: number;
  b_column_stride: number;
  packed_b: Float32Array | null;
  c: Float32Array;
  c_row_stride: number;
  bias: Float32Array | null;
  addend: Float32Array | null;
  addend_row_stride: number;
  m: number;
  n: number;
  k: number;
  alpha: number;
  accumulate: boolean;
  precision: Precision;
};

function args(shape: Shape, random: Random): Args {
  const { m, n, k, padding = 0 } = shape;
  const c_row_stride = n + padding;
  return {
    a: normals(random, m * k),
    ...strides("a", m, k, shape.a),
    b: normals(random, k * n),
    ...strides("b", k, n, shape.b),
    packed_b: null,
    c: shape.accumulate || padding ? normals(random, m * c_row_stride) : unwritten(m * n),
    c_row_stride,
    bias: shape.bias ? normals(random, n) : null,
    addend: shape.addend ? normals(random, m * (n + 3)) : null,
    addend_row_stride: n + 3,
    m,
    n,
    k,
    alpha: Math.fround(shape.alpha ?? 1),
    accumulate: shape.accumulate ?? false,
    precision: shape.precision ?? "fp32",
  };
}

function strides<Name extends "a" | "b">(name: Name, rows: number, columns: number, layout: Layout = "rows") {
  const [row, column] = layout === "rows" ? [columns, 1] : [1, rows];
  return { [`${name}_row_stride`]: row, [`${name}_column_stride`]: column } as Record<
    `${Name}_row_stride` | `${Name}_column_stride`,
    number
  >;
}

function packed(args: Args, backend: Backend): Args {
  const { b, b_row_stride, b_column_stride, k, n, precision } = args;
  const packed_b = unwritten(backend.packedSize(precision, k, n));
  backend.run("pack_matrix", { b, b_row_stride, b_column_stride, packed: packed_b, k, n, precision });
  return { ...args, packed_b };
}

function multiply(args: Args, round: Rounding): { c: Float64Array } {
  const operand = args.precision === "bf16" ? toBfloat16 : (x: number) => x;
  const [aOperands, bOperands] = [args.a, args.b].map((x) => Float64Array.from(x, operand)) as [
    Floats,
    Floats,
  ];
  const c = Float64Array.from(args.c);
  for (let m = 0; m < args.m; m++)
    for (let n = 0; n < args.n; n++) {
      let sum = 0;
      for (let k = 0; k < args.k; k++) {
        const a = aOperands[m * args.a_row_stride + k * args.a_column_stride]!;
        const b = bOperands[k * args.b_row_stride + n * args.b_column_stride]!;
        sum = round(sum + round(a * b));
      }
      const at = m * args.c_row_stride + n;
      let value = round(args.alpha * sum);
      if (args.bias) value = round(value + args.bias[n]!);
      if (args.addend) value = round(value + args.addend[m * args.addend_row_stride + n]!);
      c[at] = args.accumulate ? round(c[at]! + value) : value;
    }
  return { c };
}

/** The operand with the other order in memory. */
function transposed<Name extends "a" | "b">(
  name: Name,
  x: Float32Array,
  rows: number,
  columns: number,
  args: Args,
) {
  const layout = args[`${name}_column_stride`] === 1 && columns > 1 ? "columns" : "rows";
  const copy = new Float32Array(x.length);
  const other = strides(name, rows, columns, layout);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      copy[row * other[`${name}_row_stride`] + column * other[`${name}_column_stride`]] =
        x[row * args[`${name}_row_stride`] + column * args[`${name}_column_stride`]]!;
  return { [name]: copy, ...other };
}

function equivalents(args: Args): Equivalent<Args>[] {
  const { m, n, k } = args;
  const c = () => args.c.slice();
  return [
    { title: "B not packed", args: { ...args, c: c(), packed_b: null } },
    {
      title: "A and B in the other order in memory",
      args: {
        ...args,
        ...transposed("a", args.a, m, k, args),
        ...transposed("b", args.b, k, n, args),
        c: c(),
        packed_b: null,
      },
    },
    ...[0, m >> 1, m - 1].flatMap((row) => {
      const alone: Args = {
        ...args,
        a: args.a.subarray(row * args.a_row_stride),
        addend: args.addend?.subarray(row * args.addend_row_stride) ?? null,
        m: 1,
      };
      const whole = row * args.c_row_stride;
      const rowOfC = () => args.c.slice(whole, whole + n);
      const half = Math.ceil(n / 2);
      return [
        {
          title: `row ${row} alone`,
          args: { ...alone, c: rowOfC() },
          regions: { c: { whole, part: 0, length: n } },
        },
        {
          title: `half of row ${row} alone`,
          args: { ...alone, c: rowOfC(), packed_b: null, n: half },
          regions: { c: { whole, part: 0, length: half } },
        },
      ];
    }),
  ];
}

const shapes: Shape[] = [
  { m: 1, n: 1, k: 1 },
  { m: 1, n: 33, k: 7, bias: true },
  { m: 3, n: 17, k: 513, b: "columns" },
  { m: 4, n: 130, k: 65, packed: true, addend: true, b: "columns" },
  { m: 12, n: 32, k: 64, packed: true, alpha: 0.3, accumulate: true },
  { m: 13, n: 31, k: 600, a: "columns", alpha: -2.5, accumulate: true },
  { m: 5, n: 67, k: 1200, packed: true, bias: true, addend: true, padding: 5 },
  { m: 125, n: 40, k: 37, padding: 9, accumulate: true, packed: true },
  { m: 131, n: 97, k: 33, a: "columns", b: "columns", bias: true, addend: true, alpha: 0.7 },
  { m: 250, n: 70, k: 20, b: "columns" },
  { m: 2, n: 700, k: 129, bias: true },
];

// Odd depths leave half a word empty; 1030 and 2100 take more than one block along the depth.
const bf16Shapes: Shape[] = [
  { m: 1, n: 1, k: 1 },
  { m: 1, n: 70, k: 33, packed: true },
  // A weight as it is stored, in the round numbers of models: what decoding multiplies on a GPU.
  { m: 1, n: 72, k: 96, b: "columns" },
  { m: 7, n: 64, k: 1056, b: "columns", accumulate: true, alpha: 0.5 },
  { m: 16, n: 200, k: 544, b: "columns", bias: true },
  { m: 3, n: 17, k: 1030, b: "columns", packed: true },
  { m: 13, n: 31, k: 601, a: "columns", alpha: -2.5, accumulate: true },
  { m: 26, n: 67, k: 2100, bias: true, addend: true, padding: 5 },
  { m: 14, n: 530, k: 1027, packed: true, accumulate: true },
  { m: 14, n: 35, k: 2050, a: "columns", accumulate: true, padding: 3 },
  { m: 125, n: 40, k: 37, padding: 9, accumulate: true, packed: true },
  { m: 131, n: 97, k: 2, a: "columns", b: "columns", bias: true, addend: true, alpha: 0.7 },
].map((shape) => ({ ...shape, precision: "bf16" }) as Shape);

export const matmulCases: Conformance[] = [
  ...[...shapes, ...bf16Shapes].map((shape) => {
    const { m, n, k, a = "rows", b = "rows", ...special } = shape;
    return conformance<Args>({
      op: "matmul",
      title: `(${m}, ${k}) by ${a} times (${k}, ${n}) by ${b} ${JSON.stringify(special)}`,
      args: (random, backend, storage) => {
        const unpacked = args(shape, random);
        if (storage === "bf16") roundStored(["b"], unpacked);
        return shape.packed ? packed(unpacked, backend) : unpacked;
      },
      reference: multiply,
      outputs: { c: "forward" },
      multiplies: true,
      stored: ["a", "b", "c", "addend"],
      equivalents,
    });
  }),
  // Operands as parts of larger arrays, off every alignment but their elements': what adapters of odd ranks and chunks of odd rows are.
  ...(["fp32", "bf16"] as const).flatMap((precision) =>
    [
      { m: 19, n: 45, k: 30, accumulate: true },
      { m: 7, n: 33, k: 65, bias: true, b: "columns" as const },
    ].map((shape) =>
      conformance<Args>({
        op: "matmul",
        title: `arrays off alignment ${JSON.stringify({ ...shape, precision })}`,
        args: (random) => {
          const aligned = args({ ...shape, precision }, random);
          const shift = (array: Float32Array) => {
            const shifted = new Float32Array(array.length + 1).subarray(1);
            shifted.set(array);
            return shifted;
          };
          const { a, b, c, bias } = aligned;
          return { ...aligned, a: shift(a), b: shift(b), c: shift(c), bias: bias && shift(bias) };
        },
        reference: multiply,
        outputs: { c: "forward" },
        stored: ["a", "b", "c"],
      }),
    ),
  ),
  conformance<Args>({
    op: "matmul",
    title: "a C that is its own addend",
    args: (random) => {
      const whole = args({ m: 19, n: 45, k: 30, addend: true }, random);
      return { ...whole, c: whole.addend!, c_row_stride: whole.addend_row_stride };
    },
    reference: multiply,
    outputs: { c: "forward" },
    stored: ["a", "b", "c", "addend"],
  }),
  ...[
    { k: 1, n: 1, b: "rows" as const },
    { k: 37, n: 70, b: "rows" as const },
    { k: 520, n: 129, b: "columns" as const },
  ].flatMap(({ k, n, b }) =>
    (["fp32", "bf16"] as const).map((precision) =>
      conformance({
        op: "pack_matrix",
        title: `(${k}, ${n}) by ${b} in ${precision}`,
        args: (random, backend) => ({
          b: normals(random, k * n),
          ...strides("b", k, n, b),
          packed: unwritten(backend.packedSize(precision, k, n)),
          // Columns of a panel; without panels, all of a row.
          width: backend.packs === "panels" ? backend.packedSize("fp32", 1, 1) : null,
          k,
          n,
          precision,
        }),
        bind: ({ width, ...args }) => args,
        reference: ({ b, b_row_stride, b_column_stride, packed, width }) => {
          const perWord = precision === "bf16" ? 2 : 1;
          const words = Math.ceil(k / perWord);
          // Panels are padded with zeros; what lies behind packed rows is left alone.
          const result = width === null ? packed.slice() : new Float32Array(packed.length);
          const halves = new Uint16Array(result.buffer);
          for (let column = 0; column < n; column++)
            for (let row = 0; row < k; row++) {
              const element = b[row * b_row_stride + column * b_column_stride]!;
              const at =
                width === null ? row * n + column : placeInPanels(row, column, width, words, perWord);
              if (precision === "fp32") result[at] = element;
              else halves[at] = bitsOf(Float32Array.of(toBfloat16(element)))[0]!;
            }
          return { packed: result };
        },
        outputs: { packed: "exact" },
        stored: ["b"],
      }),
    ),
  ),
];

/** Index of an element of a matrix that is packed in panels of `width` columns and `words` words each. */
function placeInPanels(row: number, column: number, width: number, words: number, perWord: number): number {
  const panel = Math.floor(column / width) * width * words;
  const word = panel + Math.floor(row / perWord) * width + (column % width);
  return word * perWord + (row % perWord);
}
