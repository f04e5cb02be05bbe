import { type Conformance, conformance, type Rounding } from "./conformance.js";
import { type Floats, integers, normals } from "./inputs.js";

type SumSquares = { x: Floats; total: Float64Array; count: number };

type Adamw = {
  parameter: Floats;
  gradient: Floats;
  first_moment: Floats;
  second_moment: Floats;
  count: number;
  learning_rate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weight_decay: number;
  gradient_scale: number;
  bias_correction1: number;
  bias_correction2: number;
};

function step(args: Adamw, round: Rounding) {
  const { beta1, beta2, epsilon, learning_rate, weight_decay, gradient_scale } = args;
  const parameter = Float64Array.from(args.parameter);
  const first_moment = Float64Array.from(args.first_moment);
  const second_moment = Float64Array.from(args.second_moment);
  for (let i = 0; i < args.count; i++) {
    const g = round(gradient_scale * args.gradient[i]!);
    const m = round(round(beta1 * first_moment[i]!) + round(round(1 - beta1) * g));
    const v = round(round(beta2 * second_moment[i]!) + round(round(1 - beta2) * round(g * g)));
    first_moment[i] = m;
    second_moment[i] = v;
    const deviation = round(Math.sqrt(round(v / args.bias_correction2)));
    const direction = round(round(m / args.bias_correction1) / round(deviation + epsilon));
    const change = round(learning_rate * round(direction + round(weight_decay * parameter[i]!)));
    parameter[i] = round(parameter[i]! - change);
  }
  return { parameter, first_moment, second_moment };
}

/** @param stepIndex the t of the bias corrections */
function adamw(count: number, stepIndex: number, weight_decay: number): Conformance {
  const [beta1, beta2] = [0.9, 0.999].map(Math.fround) as [number, number];
  return conformance<Adamw>({
    op: "adamw",
    title: `${count} elements at step ${stepIndex} and weight decay ${weight_decay}`,
    args: (random) => ({
      parameter: normals(random, count),
      gradient: normals(random, count, 1e-2),
      first_moment: stepIndex === 1 ? new Float32Array(count) : normals(random, count, 1e-3),
      second_moment:
        stepIndex === 1 ? new Float32Array(count) : normals(random, count, 1e-5).map((v) => Math.abs(v)),
      count,
      learning_rate: Math.fround(3e-2),
      beta1,
      beta2,
      epsilon: Math.fround(1e-8),
      weight_decay: Math.fround(weight_decay),
      gradient_scale: Math.fround(0.37),
      bias_correction1: Math.fround(1 - beta1 ** stepIndex),
      bias_correction2: Math.fround(1 - beta2 ** stepIndex),
    }),
    reference: step,
    outputs: { parameter: "forward", first_moment: "forward", second_moment: "forward" },
  });
}

export const adamwCases: Conformance[] = [
  adamw(1, 1, 0),
  adamw(37, 1, 0.1),
  adamw(40_001, 100, 0.01),
  ...[1, 37, 70_001].map((count) =>
    conformance<SumSquares>({
      op: "sum_squares",
      title: `${count} elements`,
      args: (random) => ({
        // Multiples of 2^-12 whose squares, and all sums of them, are exact in double and not in fp32.
        x: Float32Array.from(integers(random, count, 40_001), (n) => (n - 20_000) / 4096),
        total: new Float64Array(1).fill(Number.NaN),
        count,
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
