import type { Random } from "../../src/random.js";
import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, integers, normals, unwritten } from "./inputs.js";
import { type Backend, pack, packTransposed } from "./native-ops.js";

type Inputs = {
  x: Floats;
  weight: Floats;
  targets: Int32Array;
  rows: number;
  columns: number;
  vocabulary: number;
  inverse_temperature: number;
};
type Forward = Inputs & { log_probs: Floats; entropies: Floats | null };
type Backward = Inputs & {
  dlog_probs: Floats;
  dentropies: Floats | null;
  dx: Floats;
  dweight: Floats | null;
};

/** log softmax of one row of logits. */
function logSoftmax(args: Inputs, row: number, round: Rounding): Float64Array {
  const { x, weight, columns, vocabulary, inverse_temperature } = args;
  const z = new Float64Array(vocabulary);
  for (let v = 0; v < vocabulary; v++) {
    let logit = 0;
    for (let c = 0; c < columns; c++)
      logit = round(logit + round(x[row * columns + c]! * weight[v * columns + c]!));
    z[v] = round(inverse_temperature * logit);
  }
  const highest = z.reduce((a, b) => Math.max(a, b));
  let sum = 0;
  for (const value of z) sum = round(sum + round(Math.exp(round(value - highest))));
  const logSum = round(Math.log(sum));
  return z.map((value) => round(round(value - highest) - logSum));
}

function entropyOf(logProbs: Float64Array, round: Rounding): number {
  let sum = 0;
  for (const logProb of logProbs) sum = round(sum + round(round(Math.exp(logProb)) * logProb));
  return -sum;
}

function logProbs(args: Inputs, round: Rounding) {
  const log_probs = new Float64Array(args.rows);
  const entropies = new Float64Array(args.rows);
  for (let row = 0; row < args.rows; row++) {
    const all = logSoftmax(args, row, round);
    log_probs[row] = all[args.targets[row]!]!;
    entropies[row] = entropyOf(all, round);
  }
  return { log_probs, entropies };
}

function logProbsBackward(args: Backward, round: Rounding) {
  const { x, weight, targets, columns, vocabulary, inverse_temperature } = args;
  const dx = new Float64Array(x.length);
  const dweight = Float64Array.from(args.dweight ?? []);
  for (let row = 0; row < args.rows; row++) {
    const all = logSoftmax(args, row, round);
    const entropy = entropyOf(all, round);
    const [c, e] = [args.dlog_probs[row]!, args.dentropies ? args.dentropies[row]! : 0];
    for (let v = 0; v < vocabulary; v++) {
      const p = round(Math.exp(all[v]!));
      const fromLogProb = round(c * round((v === targets[row] ? 1 : 0) - p));
      const fromEntropy = round(round(e * p) * round(all[v]! + entropy));
      const dlogit = round(inverse_temperature * round(fromLogProb - fromEntropy));
      for (let i = 0; i < columns; i++) {
        const [xAt, weightAt] = [row * columns + i, v * columns + i];
        dx[xAt] = round(dx[xAt]! + round(dlogit * weight[weightAt]!));
        if (args.dweight) dweight[weightAt] = round(dweight[weightAt]! + round(dlogit * x[xAt]!));
      }
    }
  }
  return { dx, dweight };
}

interface Shape {
  rows: number;
  columns: number;
  vocabulary: number;
  temperature: number;
  /** Neither entropies nor, in the backward pass, a gradient of the weight. */
  bare?: boolean;
}

function inputs({ rows, columns, vocabulary, temperature }: Shape, random: Random): Inputs {
  return {
    x: normals(random, rows * columns, 2),
    weight: normals(random, vocabulary * columns, 2 / Math.sqrt(columns)),
    targets: integers(random, rows, vocabulary),
    rows,
    columns,
    vocabulary,
    inverse_temperature: Math.fround(1 / temperature),
  };
}

function packedWeight(args: Inputs, backend: Backend) {
  const { weight, vocabulary, columns } = args;
  return { packed_weight: packTransposed(backend, "fp32", weight, vocabulary, columns), precision: "fp32" };
}

const shapes: Shape[] = [
  { rows: 1, columns: 1, vocabulary: 1, temperature: 1 },
  { rows: 3, columns: 7, vocabulary: 37, temperature: 0.2 },
  { rows: 33, columns: 65, vocabulary: 300, temperature: 1 },
  { rows: 45, columns: 12, vocabulary: 129, temperature: 1, bare: true },
  // Two chunks of logits.
  { rows: 1020, columns: 2, vocabulary: 1031, temperature: 0.7 },
];

export const linearLogProbCases: Conformance[] = shapes.flatMap((shape) => {
  const { rows, columns, vocabulary, bare } = shape;
  const title = JSON.stringify(shape);
  return [
    conformance<Forward>({
      op: "linear_log_prob",
      title,
      args: (random) => ({
        ...inputs(shape, random),
        log_probs: unwritten(rows),
        entropies: bare ? null : unwritten(rows),
      }),
      bind: ({ weight, ...args }, backend) => ({
        ...args,
        ...packedWeight({ weight, ...args }, backend),
      }),
      reference: logProbs,
      outputs: { log_probs: "forward", ...(!bare && { entropies: "forward" }) },
      stored: ["x"],
      multiplies: true,
      equivalents: (args) => [
        ...[0, rows >> 1, rows - 1].map((row) => ({
          title: `row ${row} alone`,
          args: {
            ...args,
            x: args.x.slice(row * columns, (row + 1) * columns),
            targets: args.targets.slice(row, row + 1),
            rows: 1,
          },
          regions: rowsOf(row, 1, { log_probs: 1, entropies: 1 }),
        })),
        {
          title: "no entropies",
          args: { ...args, entropies: null },
          regions: rowsOf(0, rows, { log_probs: 1 }),
        },
      ],
    }),
    conformance<Backward>({
      op: "linear_log_prob_backward",
      title,
      args: (random) => ({
        ...inputs(shape, random),
        dlog_probs: normals(random, rows),
        dentropies: bare ? null : normals(random, rows),
        dx: unwritten(rows * columns),
        dweight: bare ? null : normals(random, vocabulary * columns),
      }),
      bind: ({ weight, ...args }, backend) => ({
        ...args,
        ...packedWeight({ weight, ...args }, backend),
        packed_transposed: pack(backend, "fp32", weight, vocabulary, columns),
      }),
      reference: logProbsBackward,
      outputs: { dx: "gradient", ...(!bare && { dweight: "gradient" }) },
      stored: ["x", "dx"],
      // Differences take a hundred forward passes, so they are left out where one is slow.
      ...(!bare &&
        vocabulary < 1000 && {
          derivative: derivativeOf<Backward, Inputs>({
            inputs: ({ dlog_probs, dentropies, dx, dweight, ...args }) => args,
            forward: logProbs,
            cotangents: { log_probs: "dlog_probs", entropies: "dentropies" },
            gradients: { dx: "x", dweight: "weight" },
          }),
        }),
    }),
  ];
});
