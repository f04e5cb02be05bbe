import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, normals, unwritten } from "./inputs.js";

type Inputs = { x: Floats; count: number };
type Forward = Inputs & { y: Floats };
type Backward = { dy: Floats; x: Floats; dx: Floats; count: number };

const counts = [1, 37, 40_001];

// --- gelu ---

const sqrt2OverPi = Math.sqrt(2 / Math.PI);

function tanhOfGelu(x: number, round: Rounding): number {
  const cube = round(round(x * x) * x);
  return round(Math.tanh(round(sqrt2OverPi * round(x + round(0.044715 * cube)))));
}

function gelu({ x }: Inputs, round: Rounding) {
  return { y: Float64Array.from(x, (v) => round(round(v / 2) * round(1 + tanhOfGelu(v, round)))) };
}

function geluBackward({ dy, x }: Backward, round: Rounding) {
  const dx = Float64Array.from(x, (v, i) => {
    const t = tanhOfGelu(v, round);
    const du = round(sqrt2OverPi * round(1 + round(0.134145 * round(v * v))));
    const inner = round(round(v / 2) * round(round(1 - round(t * t)) * du));
    return round(dy[i]! * round(round(round(1 + t) / 2) + inner));
  });
  return { dx };
}

const geluCases = counts.flatMap((count) => [
  conformance<Forward>({
    op: "gelu",
    title: `${count} elements`,
    args: (random) => ({ x: normals(random, count, 1.5), y: unwritten(count), count }),
    reference: gelu,
    outputs: { y: "forward" },
    stored: ["x", "y"],
    equivalents: (args) => [
      { title: "in place", args: { ...args, y: args.x } },
      {
        title: "the last element alone",
        args: { x: args.x.slice(-1), y: unwritten(1), count: 1 },
        regions: rowsOf(count - 1, 1, { y: 1 }),
      },
    ],
  }),
  conformance<Backward>({
    op: "gelu_backward",
    title: `${count} elements`,
    args: (random) => ({
      dy: normals(random, count),
      x: normals(random, count, 1.5),
      dx: unwritten(count),
      count,
    }),
    reference: geluBackward,
    outputs: { dx: "gradient" },
    stored: ["dy", "x", "dx"],
    equivalents: (args) => [{ title: "in place", args: { ...args, dx: args.dy } }],
    derivative: derivativeOf<Backward, Inputs>({
      inputs: ({ x }) => ({ x, count }),
      forward: gelu,
      cotangents: { y: "dy" },
      gradients: { dx: "x" },
    }),
  }),
]);

// --- relu ---

type ReluBackward = { dy: Floats; y: Floats; dx: Floats; count: number };

function relu({ x }: Inputs) {
  return { y: Float64Array.from(x, (v) => Math.max(v, 0)) };
}

/** Numbers at least 0.01 from zero, where relu has no derivative. */
function awayFromZero(x: Float32Array): Float32Array {
  return x.map((v) => v + Math.sign(v) / 100);
}

const reluCases = counts.flatMap((count) => [
  conformance<Forward>({
    op: "relu",
    title: `${count} elements`,
    args: (random) => ({ x: normals(random, count), y: unwritten(count), count }),
    reference: relu,
    outputs: { y: "exact" },
    stored: ["x", "y"],
    equivalents: (args) => [{ title: "in place", args: { ...args, y: args.x } }],
  }),
  conformance<ReluBackward & Inputs>({
    op: "relu_backward",
    title: `${count} elements`,
    args: (random) => {
      const x = awayFromZero(normals(random, count));
      return {
        dy: normals(random, count),
        x,
        y: Float32Array.from(relu({ x, count }).y),
        dx: unwritten(count),
        count,
      };
    },
    bind: ({ x, ...args }) => args,
    reference: ({ dy, y }) => ({ dx: Float64Array.from(dy, (v, i) => (y[i]! > 0 ? v : 0)) }),
    outputs: { dx: "exact" },
    stored: ["dy", "y", "dx"],
    equivalents: (args) => [{ title: "in place", args: { ...args, dx: args.dy } }],
    derivative: derivativeOf<ReluBackward & Inputs, Inputs>({
      inputs: ({ x }) => ({ x, count }),
      forward: relu,
      cotangents: { y: "dy" },
      gradients: { dx: "x" },
    }),
  }),
]);

// --- swiglu ---

type SwigluInputs = { gate_up: Floats; rows: number; width: number };
type SwigluForward = SwigluInputs & { y: Floats };
type SwigluBackward = SwigluInputs & { dy: Floats; dgate_up: Floats };

const sigmoid = (z: number, round: Rounding) => round(1 / round(1 + round(Math.exp(-z))));

function swiglu({ gate_up, rows, width }: SwigluInputs, round: Rounding) {
  const y = new Float64Array(rows * width);
  for (let n = 0; n < rows; n++)
    for (let f = 0; f < width; f++) {
      const gate = gate_up[n * 2 * width + f]!;
      const silu = round(gate * sigmoid(gate, round));
      y[n * width + f] = round(silu * gate_up[(n * 2 + 1) * width + f]!);
    }
  return { y };
}

function swigluBackward({ dy, gate_up, rows, width }: SwigluBackward, round: Rounding) {
  const dgate_up = new Float64Array(gate_up.length);
  for (let n = 0; n < rows; n++)
    for (let f = 0; f < width; f++) {
      const [gateAt, upAt] = [n * 2 * width + f, (n * 2 + 1) * width + f];
      const gate = gate_up[gateAt]!;
      const s = sigmoid(gate, round);
      const slope = round(s * round(1 + round(gate * round(1 - s))));
      dgate_up[gateAt] = round(round(dy[n * width + f]! * gate_up[upAt]!) * slope);
      dgate_up[upAt] = round(dy[n * width + f]! * round(gate * s));
    }
  return { dgate_up };
}

const swigluShapes: [number, number][] = [
  [1, 1],
  [5, 33],
  [70, 257],
];

const swigluCases = swigluShapes.flatMap(([rows, width]) => [
  conformance<SwigluForward>({
    op: "swiglu",
    title: `${rows} rows of ${width}`,
    args: (random) => ({
      gate_up: normals(random, rows * 2 * width, 2),
      y: unwritten(rows * width),
      rows,
      width,
    }),
    reference: swiglu,
    outputs: { y: "forward" },
    stored: ["gate_up", "y"],
    equivalents: (args) =>
      [0, rows - 1].map((row) => ({
        title: `row ${row} alone`,
        args: { ...args, gate_up: args.gate_up.slice(row * 2 * width, (row + 1) * 2 * width), rows: 1 },
        regions: rowsOf(row, 1, { y: width }),
      })),
  }),
  conformance<SwigluBackward>({
    op: "swiglu_backward",
    title: `${rows} rows of ${width}`,
    args: (random) => ({
      dy: normals(random, rows * width),
      gate_up: normals(random, rows * 2 * width, 2),
      dgate_up: unwritten(rows * 2 * width),
      rows,
      width,
    }),
    reference: swigluBackward,
    outputs: { dgate_up: "gradient" },
    stored: ["dy", "gate_up", "dgate_up"],
    equivalents: (args) => [{ title: "in place", args: { ...args, dgate_up: args.gate_up } }],
    derivative: derivativeOf<SwigluBackward, SwigluInputs>({
      inputs: ({ gate_up }) => ({ gate_up, rows, width }),
      forward: swiglu,
      cotangents: { y: "dy" },
      gradients: { dgate_up: "gate_up" },
    }),
  }),
]);

export const activationCases: Conformance[] = [...geluCases, ...reluCases, ...swigluCases];
