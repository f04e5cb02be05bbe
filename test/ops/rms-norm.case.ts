import type { Random } from "../../src/random.js";
import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, normals, unwritten } from "./inputs.js";

type Inputs = { x: Floats; weight: Floats; rows: number; columns: number; epsilon: number };
type Forward = Inputs & { y: Floats; rstd: Floats };

type Backward = {
  dy: Floats;
  x: Floats;
  weight: Floats;
  rstd: Floats;
  dx: Floats;
  dweight: Floats | null;
  rows: number;
  columns: number;
};

const epsilon = Math.fround(1e-5);

function normalise({ x, weight, rows, columns, epsilon }: Inputs, round: Rounding) {
  const y = new Float64Array(x.length);
  const rstd = new Float64Array(rows);
  for (let n = 0; n < rows; n++) {
    const row = x.subarray(n * columns, (n + 1) * columns);
    let squares = 0;
    for (const value of row) squares = round(squares + round(value * value));
    rstd[n] = round(1 / round(Math.sqrt(round(round(squares / columns) + epsilon))));
    for (let c = 0; c < columns; c++) y[n * columns + c] = round(round(row[c]! * rstd[n]!) * weight[c]!);
  }
  return { y, rstd };
}

function differentiate(args: Backward, round: Rounding) {
  const { dy, x, weight, rstd, rows, columns } = args;
  const dx = Float64Array.from(args.dx);
  const dweight = Float64Array.from(args.dweight ?? []);
  for (let n = 0; n < rows; n++) {
    const h = (c: number) => round(x[n * columns + c]! * rstd[n]!);
    const g = (c: number) => round(dy[n * columns + c]! * weight[c]!);
    let sumGh = 0;
    for (let c = 0; c < columns; c++) sumGh = round(sumGh + round(g(c) * h(c)));
    const meanGh = round(sumGh / columns);
    for (let c = 0; c < columns; c++) {
      const i = n * columns + c;
      dx[i] = round(dx[i]! + round(rstd[n]! * round(g(c) - round(h(c) * meanGh))));
      if (args.dweight) dweight[c] = round(dweight[c]! + round(dy[i]! * h(c)));
    }
  }
  return { dx, dweight };
}

function backwardArgs(random: Random, rows: number, columns: number): Backward {
  const x = normals(random, rows * columns, 2);
  const weight = normals(random, columns);
  const { rstd } = normalise({ x, weight, rows, columns, epsilon }, (value) => value);
  return {
    dy: normals(random, rows * columns),
    x,
    weight,
    rstd: Float32Array.from(rstd),
    dx: normals(random, rows * columns),
    dweight: normals(random, columns),
    rows,
    columns,
  };
}

const shapes: [number, number][] = [
  [1, 1],
  [3, 2],
  [7, 129],
  [2, 704],
  [300, 133],
];

export const rmsNormCases: Conformance[] = [
  ...shapes.map(([rows, columns]) =>
    conformance<Forward>({
      op: "rms_norm",
      title: `${rows} rows of ${columns}`,
      args: (random) => ({
        x: normals(random, rows * columns, 3),
        weight: normals(random, columns),
        y: unwritten(rows * columns),
        rstd: unwritten(rows),
        rows,
        columns,
        epsilon,
      }),
      reference: normalise,
      outputs: { y: "forward", rstd: "forward" },
      stored: ["y"],
      equivalents: (args) =>
        [0, rows >> 1, rows - 1].map((row) => ({
          title: `row ${row} alone`,
          args: { ...args, x: args.x.slice(row * columns, (row + 1) * columns), rows: 1 },
          regions: rowsOf(row, 1, { y: columns, rstd: 1 }),
        })),
    }),
  ),
  ...shapes.map(([rows, columns]) =>
    conformance<Backward>({
      op: "rms_norm_backward",
      title: `${rows} rows of ${columns}`,
      args: (random) => backwardArgs(random, rows, columns),
      reference: differentiate,
      outputs: { dx: "gradient", dweight: "gradient" },
      stored: ["dy"],
      derivative: derivativeOf<Backward, Inputs>({
        inputs: ({ x, weight }) => ({ x, weight, rows, columns, epsilon }),
        forward: normalise,
        cotangents: { y: "dy" },
        gradients: { dx: "x", dweight: "weight" },
      }),
    }),
  ),
  conformance<Backward>({
    op: "rms_norm_backward",
    title: "a frozen weight",
    args: (random) => ({ ...backwardArgs(random, 5, 37), dweight: null }),
    reference: differentiate,
    outputs: { dx: "gradient" },
    stored: ["dy"],
  }),
];
