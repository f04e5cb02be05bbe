import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, normals, unwritten } from "./inputs.js";

type Inputs = { x: Floats; count: number };
type Forward = Inputs & { y: Floats };

const counts = [1, 37, 40_001];

const sigmoid = (z: number, round: Rounding) => round(1 / round(1 + round(Math.exp(-z))));

// --- gelu ---

const kinds = ["gelu", "gelu_tanh", "quick_gelu"] as const;
type GeluInputs = Inputs & { kind: (typeof kinds)[number] };
type GeluForward = GeluInputs & { y: Floats };
type GeluBackward = GeluInputs & { dy: Floats; dx: Floats };

const sqrt2OverPi = Math.sqrt(2 / Math.PI);
const normalDensity = (x: number) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

/** Phi(x): its series around 0, or far out the continued fraction of the normal tail (Abramowitz and Stegun 26.2.11, 26.2.14). */
export function normalShare(x: number): number {
  if (Math.abs(x) > 4) {
    let fraction = 0;
    for (let n = 200; n > 0; n--) fraction = n / (Math.abs(x) + fraction);
    const tail = normalDensity(x) / (Math.abs(x) + fraction);
    return x < 0 ? tail : 1 - tail;
  }
  let [term, sum] = [x, x];
  for (let n = 3; Math.abs(term) > 1e-18 * Math.abs(sum); n += 2) {
    term *= (x * x) / n;
    sum += term;
  }
  return 0.5 + normalDensity(x) * sum;
}

/** share with f(x) = x share(x), and its derivative. */
function geluShare(x: number, kind: GeluInputs["kind"], round: Rounding): { share: number; slope: number } {
  if (kind === "gelu") {
    const slope = round(round(Math.exp(-round(round(x * x) / 2))) / Math.sqrt(2 * Math.PI));
    return { share: round(normalShare(x)), slope };
  }
  if (kind === "quick_gelu") {
    const share = sigmoid(round(1.702 * x), round);
    return { share, slope: round(1.702 * round(share * round(1 - share))) };
  }
  const cube = round(round(x * x) * x);
  const tanh = round(Math.tanh(round(sqrt2OverPi * round(x + round(0.044715 * cube)))));
  const du = round(sqrt2OverPi * round(1 + round(0.134145 * round(x * x))));
  return { share: round(round(1 + tanh) / 2), slope: round(round(round(1 - round(tanh * tanh)) / 2) * du) };
}

function gelu({ x, kind }: GeluInputs, round: Rounding) {
  return { y: Float64Array.from(x, (v) => round(v * geluShare(v, kind, round).share)) };
}

function geluBackward({ dy, x, kind }: GeluBackward, round: Rounding) {
  const dx = Float64Array.from(x, (v, i) => {
    const { share, slope } = geluShare(v, kind, round);
    return round(dy[i]! * round(share + round(v * slope)));
  });
  return { dx };
}

const geluCases = kinds.flatMap((kind) =>
  counts.flatMap((count) => [
    conformance<GeluForward>({
      op: "gelu",
      title: `${kind} of ${count} elements`,
      args: (random) => ({ x: normals(random, count, 1.5), y: unwritten(count), count, kind }),
      reference: gelu,
      outputs: { y: "forward" },
      stored: ["x", "y"],
      equivalents: (args) => [
        { title: "in place", args: { ...args, y: args.x } },
        {
          title: "the last element alone",
          args: { x: args.x.slice(-1), y: unwritten(1), count: 1, kind },
          regions: rowsOf(count - 1, 1, { y: 1 }),
        },
      ],
    }),
    conformance<GeluBackward>({
      op: "gelu_backward",
      title: `${kind} of ${count} elements`,
      args: (random) => ({
        dy: normals(random, count),
        x: normals(random, count, 1.5),
        dx: unwritten(count),
        count,
        kind,
      }),
      reference: geluBackward,
      outputs: { dx: "gradient" },
      stored: ["dy", "x", "dx"],
      equivalents: (args) => [{ title: "in place", args: { ...args, dx: args.dy } }],
      derivative: derivativeOf<GeluBackward, GeluInputs>({
        inputs: ({ x }) => ({ x, count, kind }),
        forward: gelu,
        cotangents: { y: "dy" },
        gradients: { dx: "x" },
      }),
    }),
  ]),
);

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
