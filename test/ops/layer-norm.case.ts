import type { Random } from "../../src/random.js";
import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, normals, unwritten } from "./inputs.js";

type Inputs = { x: Floats; weight: Floats; bias: Floats; rows: number; columns: number; epsilon: number };
type Forward = Inputs & { y: Floats; mean: Floats; rstd: Floats };

type Backward = {
  dy: Floats;
  x: Floats;
  weight: Floats;
  mean: Floats;
  rstd: Floats;
  dx: Floats;
  dweight: Floats | null;
  dbias: Floats | null;
  rows: number;
  columns: number;
};

const epsilon = Math.fround(1e-5);

function normalise({ x, weight, bias, rows, columns, epsilon }: Inputs, round: Rounding) {
  const y = new Float64Array(x.length);
  const mean = new Float64Array(rows);
  const rstd = new Float64Array(rows);
  for (let n = 0; n < rows; n++) {
    const row = x.subarray(n * columns, (n + 1) * columns);
    let sum = 0;
    for (const value of row) sum = round(sum + value);
    const average = round(sum / columns);
    let squares = 0;
    for (const value of row) squares = round(squares + round(round(value - average) ** 2));
    const deviation = round(Math.sqrt(round(round(squares / columns) + epsilon)));
    mean[n] = average;
    rstd[n] = round(1 / deviation);
    for (let c = 0; c < columns; c++) {
      const h = round(round(row[c]! - average) * rstd[n]!);
      y[n * columns + c] = round(round(h * weight[c]!) + bias[c]!);
    }
  }
  return { y, mean, rstd };
}

function differentiate(args: Backward, round: Rounding) {
  const { dy, x, weight, mean, rstd, rows, columns } = args;
  const dx = Float64Array.from(args.dx);
  const dweight = Float64Array.from(args.dweight ?? []);
  const dbias = Float64Array.from(args.dbias ?? []);
  for (let n = 0; n < rows; n++) {
    const h = (c: number) => round(round(x[n * columns + c]! - mean[n]!) * rstd[n]!);
    const g = (c: number) => round(dy[n * columns + c]! * weight[c]!);
    let sumG = 0;
    let sumGh = 0;
    for (let c = 0; c < columns; c++) {
      sumG = round(sumG + g(c));
      sumGh = round(sumGh + round(g(c) * h(c)));
    }
    const meanG = round(sumG / columns);
    const meanGh = round(sumGh / columns);
    for (let c = 0; c < columns; c++) {
      const i = n * columns + c;
      const inner = round(round(g(c) - meanG) - round(h(c) * meanGh));
      dx[i] = round(dx[i]! + round(rstd[n]! * inner));
      if (args.dweight) dweight[c] = round(dweight[c]! + round(dy[i]! * h(c)));
      if (args.dbias) dbias[c] = round(dbias[c]! + dy[i]!);
    }
  }
  return { dx, dweight, dbias };
}

function backwardArgs(random: Random, rows: number, columns: number): Backward {
  const x = normals(random, rows * columns, 2);
  const weight = normals(random, columns);
  const { mean, rstd } = normalise({ x, weight, bias: weight, rows, columns, epsilon }, (value) => value);
  return {
    dy: normals(random, rows * columns),
    x,
    weight,
    mean: Float32Array.from(mean),
    rstd: Float32Array.from(rstd),
    dx: normals(random, rows * columns),
    dweight: normals(random, columns),
    dbias: normals(random, columns),
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

export const layerNormCases: Conformance[] = [
  ...shapes.map(([rows, columns]) =>
    conformance<Forward>({
      op: "layer_norm",
      title: `${rows} rows of ${columns}`,
      args: (random) => ({
        // Far from zero, where a variance from the mean of squares would have no digits left.
        x: normals(random, rows * columns).map((value) => value + 30),
        weight: normals(random, columns),
        bias: normals(random, columns),
        y: unwritten(rows * columns),
        mean: unwritten(rows),
        rstd: unwritten(rows),
        rows,
        columns,
        epsilon,
      }),
      reference: normalise,
      outputs: { y: "forward", mean: "forward", rstd: "forward" },
      stored: ["y"],
      equivalents: (args) =>
        [0, rows >> 1, rows - 1].map((row) => ({
          title: `row ${row} alone`,
          args: { ...args, x: args.x.slice(row * columns, (row + 1) * columns), rows: 1 },
          regions: rowsOf(row, 1, { y: columns, mean: 1, rstd: 1 }),
        })),
    }),
  ),
  ...shapes.map(([rows, columns]) =>
    conformance<Backward>({
      op: "layer_norm_backward",
      title: `${rows} rows of ${columns}`,
      args: (random) => backwardArgs(random, rows, columns),
      reference: differentiate,
      outputs: { dx: "gradient", dweight: "gradient", dbias: "gradient" },
      stored: ["dy"],
      derivative: derivativeOf<Backward, Inputs>({
        inputs: ({ x, weight }) => ({ x, weight, bias: new Float64Array(columns), rows, columns, epsilon }),
        forward: normalise,
        cotangents: { y: "dy" },
        gradients: { dx: "x", dweight: "weight", dbias: "bias" },
      }),
    }),
  ),
  conformance<Backward>({
    op: "layer_norm_backward",
    title: "frozen parameters",
    args: (random) => ({ ...backwardArgs(random, 5, 37), dweight: null, dbias: null }),
    reference: differentiate,
    outputs: { dx: "gradient" },
    stored: ["dy"],
  }),
];
