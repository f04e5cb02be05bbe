import { type Conformance, conformance, type Rounding } from "./conformance.js";
import { integers, normals } from "./inputs.js";

/** Arrays of all tensors one after the other; the native ops take each tensor's as one of its own. */
type SumSquares = { x: Float32Array; sizes: Int32Array; total: Float64Array };

type Adamw = {
  parameter: Float32Array;
  gradient: Float32Array;
  first_moment: Float32Array;
  second_moment: Float32Array;
  sizes: Int32Array;
  bias_corrections1: Float32Array;
  bias_corrections2: Float32Array;
  squares: Float64Array;
  group: number;
  max_norm: number;
  learning_rate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weight_decay: number;
};

const total = (sizes: ArrayLike<number>) => Array.from(sizes).reduce((sum, size) => sum + size, 0);

/** Views of what belongs to each tensor. */
function split(all: Float32Array, sizes: Int32Array): Float32Array[] {
  let first = 0;
  return Array.from(sizes, (size) => {
    first += size;
    return all.subarray(first - size, first);
  });
}

const countsOf = (sizes: Int32Array) => BigInt64Array.from(sizes, BigInt);

function step(args: Adamw, round: Rounding) {
  const { beta1, beta2, epsilon, learning_rate, weight_decay, squares, group, max_norm } = args;
  const parameter = Float64Array.from(args.parameter);
  const gradient = Float64Array.from(args.gradient);
  const first_moment = Float64Array.from(args.first_moment);
  const second_moment = Float64Array.from(args.second_moment);
  const outputs = { parameter, gradient, first_moment, second_moment };
  if (!squares.every(Number.isFinite)) return outputs;
  // In double whatever the precision of the rest, and handed on in fp32.
  const norm = Math.sqrt(squares[group]!);
  const scale = norm > max_norm ? Math.fround(max_norm / norm) : 1;
  let i = 0;
  args.sizes.forEach((size, tensor) => {
    for (const end = i + size; i < end; i++) {
      const g = round(scale * gradient[i]!);
      const m = round(round(beta1 * first_moment[i]!) + round(round(1 - beta1) * g));
      const v = round(round(beta2 * second_moment[i]!) + round(round(1 - beta2) * round(g * g)));
      first_moment[i] = m;
      second_moment[i] = v;
      const deviation = round(Math.sqrt(round(v / args.bias_corrections2[tensor]!)));
      const direction = round(round(m / args.bias_corrections1[tensor]!) / round(deviation + epsilon));
      const change = round(learning_rate * round(direction + round(weight_decay * parameter[i]!)));
      parameter[i] = round(parameter[i]! - change);
      gradient[i] = 0;
    }
  });
  return outputs;
}

interface Shape {
  sizes: number[];
  /** The t of the bias corrections of each tensor. */
  steps: number[];
  weight_decay?: number;
  /** Sums of squares of the groups, this one's first; 4: the norm is 2. */
  squares?: number[];
  max_norm?: number;
}

function adamw(title: string, { sizes, steps, weight_decay = 0, squares = [4], max_norm = 0.74 }: Shape) {
  const [beta1, beta2] = [0.9, 0.999].map(Math.fround) as [number, number];
  const count = total(sizes);
  const fresh = steps[0] === 1;
  return conformance<Adamw>({
    op: "adamw",
    title,
    args: (random) => ({
      parameter: normals(random, count),
      gradient: normals(random, count, 1e-2),
      first_moment: fresh ? new Float32Array(count) : normals(random, count, 1e-3),
      second_moment: fresh ? new Float32Array(count) : normals(random, count, 1e-5).map((v) => Math.abs(v)),
      sizes: Int32Array.from(sizes),
      bias_corrections1: Float32Array.from(steps, (t) => 1 - beta1 ** t),
      bias_corrections2: Float32Array.from(steps, (t) => 1 - beta2 ** t),
      squares: Float64Array.from(squares),
      group: 0,
      max_norm,
      learning_rate: Math.fround(3e-2),
      beta1,
      beta2,
      epsilon: Math.fround(1e-8),
      weight_decay: Math.fround(weight_decay),
    }),
    bind: ({ parameter, gradient, first_moment, second_moment, sizes, ...args }) => ({
      ...args,
      parameters: split(parameter, sizes),
      gradients: split(gradient, sizes),
      first_moments: split(first_moment, sizes),
      second_moments: split(second_moment, sizes),
      counts: countsOf(sizes),
      tensors: sizes.length,
      groups: args.squares.length,
    }),
    reference: step,
    outputs: {
      parameter: "forward",
      gradient: "exact",
      first_moment: "forward",
      second_moment: "forward",
    },
  });
}

// Tensors behind one whose size is no multiple of 4 do not begin where vectors do.
const tensors = [[1], [37], [70_001], [1, 16_384, 3, 40_000, 16_385, 8]];

export const adamwCases: Conformance[] = [
  adamw("one element at step 1", { sizes: [1], steps: [1] }),
  adamw("37 elements at step 1 and weight decay 0.1", { sizes: [37], steps: [1], weight_decay: 0.1 }),
  adamw("40001 elements at step 100, not clipped", {
    sizes: [40_001],
    steps: [100],
    weight_decay: 0.01,
    max_norm: Number.POSITIVE_INFINITY,
  }),
  adamw("tensors of several sizes and ages, with a second group", {
    sizes: [5, 16_384, 40_000, 3, 16_385],
    steps: [2, 100, 7, 1000, 3],
    weight_decay: 0.01,
    squares: [4, 1e-30],
  }),
  adamw("a norm at its limit", { sizes: [9], steps: [2], max_norm: 2 }),
  adamw("a gradient that is not finite", { sizes: [5, 8], steps: [2, 2], squares: [Number.NaN] }),
  adamw("another group's gradient that is not finite", {
    sizes: [5, 8],
    steps: [2, 2],
    squares: [4, Number.POSITIVE_INFINITY],
  }),
  ...tensors.map((sizes) =>
    conformance<SumSquares>({
      op: "sum_squares",
      title: `${sizes.join(", ")} elements`,
      args: (random) => ({
        // Multiples of 2^-12 whose squares, and all sums of them, are exact in double and not in fp32.
        x: Float32Array.from(integers(random, total(sizes), 40_001), (n) => (n - 20_000) / 4096),
        sizes: Int32Array.from(sizes),
        total: new Float64Array(1).fill(Number.NaN),
      }),
      bind: ({ x, sizes, total }) => ({
        x: split(x, sizes),
        counts: countsOf(sizes),
        total,
        tensors: sizes.length,
      }),
      reference: ({ x }) => {
        let total = 0;
        for (const value of x) total += value * value;
        return { total: [total] };
      },
      outputs: { total: "exact" },
    }),
  ),
];
